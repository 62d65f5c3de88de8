"""A folder of transformers: what its config.json and its preprocessor_config.json state, and how much of it is used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maxsup_analysis.architectures.transformers_config import (
    Bounds,
    Configuration,
    configuration,
    refused_code,
    unknown_kind,
)
from maxsup_analysis.containers import Node, Object
from maxsup_analysis.containers.folders import read_sidecars
from maxsup_analysis.errors import InputError
from maxsup_analysis.processors import StatedImages, stated_images
from maxsup_analysis.stated import Stated

CONFIG, PROCESSOR, NESTED = "config.json", "preprocessor_config.json", "processor_config.json"
# What transformers sees where a config.json does not say it.
CHANNELS = 3
KNOWN_ELSEWHERE = {"timm_wrapper": None}


@dataclass(frozen=True)
class TransformersFolder:
    """What the files beside weights state of the network and of its images.

    configuration: None where the kind of model is not known here.
    images: None where no file speaks of them.
    refused: what a file may not state of the network, by name, a sentence each.
    """

    configuration: Configuration | None
    images: StatedImages | None
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def unused(self) -> tuple[str, ...]:
        """What is stated and not used, each with its file."""
        network = self.configuration.unused if self.configuration else ()
        pictures = self.images.unused if self.images else ()
        return (*(f"{CONFIG}: {name}" for name in network), *(f"{PROCESSOR}: {name}" for name in pictures))

    @property
    def head(self) -> tuple[str, ...]:
        """Names of the layers of the head, as they are in files."""
        return self.configuration.head if self.configuration else ()


def transformers_folder(
    sidecars: Mapping[str, Node],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    typed: Mapping[str, object] | None = None,
) -> TransformersFolder | None:
    """What the files of a folder state, None where none of them is transformers'.

    shapes: of the weights, which bound what the numbers may be. typed: arguments that the user gives, over the file's.
    """
    config, said = sidecars.get(CONFIG), _of_images(sidecars)
    entries = config if isinstance(config, Mapping) and "model_type" in config else None
    if entries is None and said is None:
        return None
    found, refused = None, {}
    if entries is not None:
        found = configuration(
            _with(entries, typed or {}), Bounds.of(shapes) if shapes is not None else Bounds()
        )
        if found is None and _is_of_timm(entries):
            refused = refused_code(Stated(entries, CONFIG))
        elif found is None:
            refused["model_type"] = unknown_kind(Stated(entries, CONFIG))
    if isinstance(config, Object):
        refused["config.json"] = f"{CONFIG} is {config.name}; get the folder again"
    channels = found.values.get("num_channels", CHANNELS) if found else CHANNELS
    images = None
    if said is not None:
        images = stated_images(
            said, found.kind if found else None, channels if isinstance(channels, int) else 0
        )
    return TransformersFolder(found, images, {**refused, **(found.refused if found else {})})


def folder_of(
    name: str, typed: Mapping[str, object], shapes: Mapping[str, tuple[int, ...]]
) -> TransformersFolder:
    """The folder that the user names as `hf:FOLDER`; raises InputError where it has no config.json of transformers."""
    folder = Path(name.removeprefix("hf:"))
    try:
        sidecars = read_sidecars(folder)
    except OSError as reason:
        raise InputError(f"{folder} cannot be read ({reason.strerror or reason}); check the path") from None
    found = transformers_folder(sidecars, shapes, typed) if CONFIG in sidecars else None
    if found is None or (found.configuration is None and not found.refused):
        raise InputError(
            f"expected a transformers config.json with a model_type in {folder}; give the folder that "
            "save_pretrained wrote"
        )
    return found


def _of_images(sidecars: Mapping[str, Node]) -> Stated | None:
    """What speaks of images; newer versions of transformers nest it in another file, which goes first."""
    whole = sidecars.get(NESTED)
    nested = whole.get("image_processor") if isinstance(whole, Mapping) else None
    for file, entries in ((NESTED, nested), (PROCESSOR, sidecars.get(PROCESSOR))):
        if isinstance(entries, Mapping):
            return Stated(entries, file)
        if entries is not None:
            return Stated({"image_processor_type": f"{getattr(entries, 'name', 'no object')}"}, file)
    return None


def _with(entries: Mapping[str, Node], typed: Mapping[str, object]) -> Stated:
    """With what the user gives instead; a number of classes takes the place of their names."""
    kept = {name: entry for name, entry in entries.items() if "num_labels" not in typed or name not in LABELS}
    return Stated({**kept, **typed}, CONFIG)


LABELS = ("id2label", "label2id")


def _is_of_timm(entries: Mapping[str, Node]) -> bool:
    return Stated(entries.get("model_type"), CONFIG).is_among(KNOWN_ELSEWHERE)
