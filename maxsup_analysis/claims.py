"""What a checkpoint says about itself: who wrote it, which architecture it names, how it was trained."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from maxsup_analysis.architectures.known import KnownArchitecture, index
from maxsup_analysis.class_names import ClassNames, class_names
from maxsup_analysis.containers import Contents, Node, StoredTensor
from maxsup_analysis.containers.contents import entries_of
from maxsup_analysis.dialects import MODEL_KEYS, OWN_FORMAT, Dialect, dialect_of
from maxsup_analysis.own_format import own_preprocessing
from maxsup_analysis.preprocessing import Preprocessing, bounded
from maxsup_analysis.settings import settings_of
from maxsup_analysis.stated import Stated, presentable
from maxsup_analysis.stated_loss import StatedLoss, loss_of

# Names of networks that programs have of their own -> what timm calls the same.
ALIASES = {
    "our_patch16_224": "deit_small_patch16_224",
    **{
        f"vit_{size}": f"vit_{size}_224"
        for size in ("tiny_patch16", "small_patch16", "base_patch16", "large_patch16")
    },
    "vit_huge_patch14": "vit_huge_patch14_224",
}


@dataclass(frozen=True)
class Claim:
    """An architecture that the file names, where, and what it may mean."""

    said: str
    source: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Claims:
    """What the file says about itself; nothing of it has been checked against the weights.

    settings: the flat arguments of the training run. own: the metadata of a checkpoint that this package wrote.
    loss: what it says of its loss. names: of the classes.
    unused: settings that are not about the run alone and are not used.
    """

    dialect: Dialect
    file: str
    architectures: tuple[Claim, ...] = ()
    epoch: int | None = None
    loss: StatedLoss = field(default_factory=StatedLoss)
    names: ClassNames = field(default_factory=ClassNames)
    settings: Mapping[str, Node] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    own: Stated | None = None

    @property
    def format(self) -> str:
        """The program that wrote the file."""
        return self.dialect.name

    @property
    def training(self) -> Mapping[str, object]:
        """Loss and its strength, where the file says so."""
        return self.loss.training

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of the outputs."""
        return self.names.names

    @property
    def class_map(self) -> str | None:
        """The name of the file that numbered the classes of the run, where that is stated."""
        named = self.settings.get("class_map")
        return named if isinstance(named, str) and named else None

    def arguments_of(self, architecture: str) -> Stated:
        """Arguments of the constructor of an architecture that the settings of the run state."""
        return Stated(self.dialect.stated_arguments(self.settings, architecture), self.file)

    def preprocessing(
        self, known: KnownArchitecture | None, arguments: Mapping[str, object]
    ) -> Preprocessing | None:
        """How images are to be prepared: as the file says, else as the architecture's published weights take them."""
        if self.own is not None:
            found = own_preprocessing(self.own)
        else:
            found = self.dialect.images(Stated(self.settings, self.file), known, arguments)
        return None if found is None else bounded(found)


def claims_of(contents: Contents, file: str = "the file") -> Claims:
    """What a container's tree and the files beside it say; file: its name, for sentences on what it says."""
    top = entries_of(contents.tree)
    own = top.get("metadata") if str(top.get("format", "")).startswith(OWN_FORMAT) else None
    settings = settings_of(contents)
    dialect = dialect_of(contents, settings)
    return Claims(
        dialect,
        file,
        tuple(_architectures(top, contents, settings, timm_first=dialect.timm_first)),
        _epoch(top, own),
        _loss(dialect, settings, own),
        class_names(_places_of_names(top, contents, own)),
        settings,
        () if own is not None else dialect.unused(settings),
        None if own is None else Stated(entries_of(own), file),
    )


def _loss(dialect: Dialect, settings: Mapping[str, Node], own: Node) -> StatedLoss:
    if own is None:
        return loss_of(dialect.name, settings)
    stated = entries_of(entries_of(own).get("training"))
    return StatedLoss({name: presentable(value) for name, value in stated.items()})


def _architectures(
    top: Mapping[str, Node], contents: Contents, settings: Mapping[str, Node], *, timm_first: bool
) -> Iterator[Claim]:
    """Every architecture that is named, the most direct first."""
    config = entries_of(contents.sidecars.get("config.json"))
    said = [("`arch`", top.get("arch")), ("config.json", config.get("architecture"))]
    source = "params.json" if "params.json" in contents.sidecars else "an argument of the run"
    said += [(source, settings.get(key)) for key in MODEL_KEYS]
    for source, value in said:
        if isinstance(value, str) and value:
            yield Claim(value, source, tuple(_full_names(value, timm_first=timm_first)))


def _full_names(value: str, *, timm_first: bool) -> Iterator[str]:
    """What a name may mean: as it is, else in the libraries, the one that its program uses first."""
    name = value.removeprefix("tv_").partition(".")[0]
    name = ALIASES.get(name, name)
    libraries = ("timm", "torchvision") if timm_first else ("torchvision", "timm")
    for full in (name, *(f"{library}/{name}" for library in libraries)):
        if full in index().architectures:
            yield full


def _epoch(top: Mapping[str, Node], own: Node) -> int | None:
    training = entries_of(entries_of(own).get("training"))
    for entries in (top, training, entries_of(top.get("meta"))):
        for name in ("epoch", "epochs"):
            value = entries.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return None


def _places_of_names(top: Mapping[str, Node], contents: Contents, own: Node) -> dict[str, Node]:
    """Where names of classes may stand: of this package's own format in the metadata alone."""
    if own is not None:
        return {"metadata": {"classes": entries_of(own).get("classes")}}
    groups = {name: entry for name, entry in top.items() if not isinstance(entry, StoredTensor)}
    return {"": groups, "config.json": contents.sidecars.get("config.json")}
