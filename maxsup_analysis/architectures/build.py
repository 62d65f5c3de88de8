"""From the name of an architecture and arguments to a module without trained weights."""

import json
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from maxsup_analysis.architectures.transformers_config import Bounds, configuration, unknown_kind
from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import clean_label
from maxsup_analysis.named_code import named_code
from maxsup_analysis.stated import Stated

# The user's own code may return anything; `_called` looks.
Builder = Callable[..., object]
# The names of 22,000 classes take 2 MB.
CONFIG_LIMIT = 1 << 23
NONE_EXTRA: Mapping[str, Builder] = {}


def build_module(
    name: str, arguments: Mapping[str, object], extra: Mapping[str, Builder] = NONE_EXTRA
) -> nn.Module:
    """An untrained module; `extra` holds builders that go before the libraries.

    name: `timm/NAME`, `torchvision/NAME`, a bare NAME that is looked up in torchvision and then in timm,
    `hf:FOLDER` with a transformers config.json, `package.module:factory`, or `path/to/file.py:factory`.
    The last two run the code they name.
    """
    if name in extra:
        return _called(extra[name], name, arguments)
    for applies, build in KINDS:
        if applies(name):
            return build(name, arguments)
    return _called(_named(resolved(name, extra)), name, arguments)


def resolved(name: str, extra: Mapping[str, Builder] = NONE_EXTRA) -> str:
    """The full name of a bare one; torchvision goes first where both libraries have it.

    Example:
        >>> resolved("resnet50"), resolved("efficientnetv2_rw_s")
        ('torchvision/resnet50', 'timm/efficientnetv2_rw_s')
    """
    names = library_names()
    for full in (f"torchvision/{name}", f"timm/{name}"):
        if full in names:
            return full
    known = [*extra, *names, *dict.fromkeys(full.partition("/")[2] for full in names)]
    near = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()"
    raise InputError(
        f"expected an architecture of torchvision or timm, got {name!r}; {hint} "
        "Your own code is named package.module:factory or path/to/file.py:factory"
    )


def library_names() -> tuple[str, ...]:
    """Every classifier of both libraries, torchvision's first."""
    import timm
    import torchvision

    classifiers = torchvision.models.list_models(module=torchvision.models)
    return *(f"torchvision/{name}" for name in classifiers), *(f"timm/{name}" for name in timm.list_models())


def _of_library(name: str, arguments: Mapping[str, object]) -> nn.Module:
    # timm also builds names with a tag of pretrained weights, `resnet50.a1_in1k`.
    if name.partition(".")[0] not in library_names():
        resolved(name)
    return _called(_named(name), name, arguments)


def _named(full: str) -> Builder:
    library, _, plain = full.partition("/")
    if library == "timm":
        import timm

        return lambda **words: timm.create_model(plain, pretrained=False, **words)
    import torchvision

    # Otherwise a warning says that the initialisation will change.
    unfilled = {"init_weights": False} if plain in ("googlenet", "inception_v3") else {}
    return lambda **words: torchvision.models.get_model(plain, weights=None, **{**unfilled, **words})


def _called(builder: Builder, name: str, arguments: Mapping[str, object]) -> nn.Module:
    try:
        module = builder(**arguments)
    except (TypeError, ValueError, RuntimeError, AssertionError) as reason:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items()) or "none"
        detail = " ".join(str(reason).split())[:200]
        raise InputError(
            f"{name} cannot be built with the arguments {given}: {detail}; check them against its constructor"
        ) from reason
    if not isinstance(module, nn.Module):
        raise InputError(
            f"expected {name} to return a torch.nn.Module, got {type(module).__name__}; name a function that does"
        )
    return module


def _from_code(name: str, arguments: Mapping[str, object]) -> nn.Module:
    """The user's own code, which the user named."""
    return _called(named_code(name, returns="the module"), name, arguments)


def _from_transformers(name: str, arguments: Mapping[str, object]) -> nn.Module:
    """The network that a folder's config.json describes; code that comes with the folder is not run."""
    from maxsup_analysis.architectures.transformers_models import untrained

    folder = Path(name.removeprefix("hf:"))
    said = Stated({**_config(folder), **arguments}, clean_label(str(folder / "config.json"), 300))
    found = configuration(said, Bounds())
    if found is None:
        raise InputError(unknown_kind(said))
    return untrained(found, name)


def _config(folder: Path) -> dict:
    path = folder / "config.json"
    try:
        if path.stat().st_size > CONFIG_LIMIT:
            raise ValueError
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as reason:
        raise InputError(
            f"expected a transformers config.json in {folder}, got {type(reason).__name__}; "
            "give the folder that save_pretrained wrote"
        ) from None
    if not isinstance(config, dict):
        raise InputError(f"expected a JSON object in {path}, got {type(config).__name__}; check the folder")
    return config


KINDS: tuple[tuple[Callable[[str], bool], Callable[[str, Mapping[str, object]], nn.Module]], ...] = (
    (lambda name: name.startswith("hf:"), _from_transformers),
    (lambda name: ":" in name, _from_code),
    (lambda name: name.startswith(("timm/", "torchvision/")), _of_library),
)


class BlurPoolConv2d(nn.Module):
    """A convolution after a blur that removes what its stride would alias, as in ffcv-imagenet.

    Each channel is convolved with (1, 2, 1) x (1, 2, 1) / 16 at stride 1 and zero padding 1.
    Zhang, Making convolutional networks shift-invariant again, 2019.
    """

    blur_filter: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0])
        kernel = torch.outer(line, line) / 16
        self.conv = conv
        self.register_buffer("blur_filter", kernel.expand(conv.in_channels, 1, 3, 3).clone())

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """The convolution of the blurred images."""
        blurred = F.conv2d(images, self.blur_filter, padding=1, groups=self.conv.in_channels)
        return self.conv(blurred)


def apply_blurpool(module: nn.Module, layers: Collection[str] | None = None) -> nn.Module:
    """The same module, each of the convolutions in `layers` behind a blur.

    By default those with a stride and 16 or more input channels, as in ffcv-imagenet.
    """
    for path, parent in list(module.named_modules()):
        for name, layer in list(parent.named_children()):
            full = f"{path}.{name}" if path else name
            if isinstance(layer, nn.Conv2d) and (_strided(layer) if layers is None else full in layers):
                setattr(parent, name, BlurPoolConv2d(layer))
    return module


def _strided(layer: nn.Conv2d) -> bool:
    return max(layer.stride) > 1 and layer.in_channels >= 16
