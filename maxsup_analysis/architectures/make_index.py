"""Rewrites the index of known architectures: `python -m maxsup_analysis.architectures.make_index`.

Every classifier of timm and torchvision is built without memory for its weights. Preprocessing is that of
the default weights of timm; of torchvision it is that of IMAGENET1K_V1 where there are such weights, for
who trains with the reference scripts evaluates as they do, at 256/224.
"""

import gzip
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn

from maxsup_analysis.architectures.equivalence import agree, probe, structural_digest
from maxsup_analysis.architectures.known import INDEX, KnownArchitecture, body, signature
from maxsup_analysis.architectures.trees import Shape, TreeTable, nested

# A prime that is no width of any layer: whatever has as many rows is a head.
CLASSES = 1009
# Layers with a row per class that make no output in evaluation.
AUXILIARY = ("AuxLogits.", "aux1.", "aux2.", "aux_head")
SMALL = 130_000_000
SIDE = 128


@dataclass(frozen=True)
class Built:
    """An architecture as it was built: `known` with function 0, its shapes, its structure."""

    known: KnownArchitecture
    shapes: dict[str, Shape]
    structure: str
    fixed_size: bool

    @property
    def parameters(self) -> int:
        """About how many numbers it holds."""
        return sum(int(torch.Size(shape).numel()) for shape in self.shapes.values())

    @property
    def group(self) -> tuple[str, tuple[str, ...]]:
        """What must be equal for two architectures to be compared by function."""
        return signature(self.shapes, self.known.heads), self.known.heads


@dataclass(frozen=True)
class Failed:
    """A name that could not be built or run, and why."""

    name: str
    reason: str


def names() -> list[str]:
    """Every classifier of both libraries."""
    import timm
    import torchvision

    classifiers = torchvision.models.list_models(module=torchvision.models)
    return [f"torchvision/{name}" for name in classifiers] + [f"timm/{name}" for name in timm.list_models()]


def make(name: str) -> nn.Module:
    """The architecture with CLASSES classes, on the default device."""
    library, _, plain = name.partition("/")
    if library == "timm":
        import timm

        return timm.create_model(plain, pretrained=False, num_classes=CLASSES)
    import torchvision

    unfilled = {"init_weights": False} if plain in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(plain, weights=None, num_classes=CLASSES, **unfilled)


def without_memory(name: str) -> nn.Module:
    """The architecture on the meta device, or with memory where its constructor computes with tensors."""
    try:
        with torch.device("meta"):
            return make(name)
    except NotImplementedError:
        return make(name)


def built(name: str) -> Built | Failed:
    """What the index says of one name."""
    warnings.simplefilter("ignore")
    try:
        module = without_memory(name)
    except Exception as reason:  # Whatever a constructor raises belongs in the index.
        return Failed(name, _one_line(reason))
    shapes = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    layers = heads(shapes)
    head = tuple(layer for layer in layers if not layer.startswith(AUXILIARY))
    seen = timm_published(name, module) if name.startswith("timm/") else torchvision_published(name)
    auxiliary = tuple(layer for layer in layers if layer not in head)
    known = replace(seen, head=head, auxiliary=auxiliary, feature_dim=width(module, shapes, head))
    fixed = getattr(module, "pretrained_cfg", {}).get("fixed_input_size", "vit" in name or "swin" in name)
    return Built(known, shapes, structural_digest(module), bool(fixed))


def heads(shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    """The layers with CLASSES rows, in the order of the state dict."""
    rows = (key.rpartition(".")[0] for key, shape in shapes.items() if shape[:1] == (CLASSES,))
    return tuple(dict.fromkeys(rows))


def width(module: nn.Module, shapes: Mapping[str, Shape], head: tuple[str, ...]) -> int:
    """D: the columns of the head, or what the module says of itself where it has none."""
    for layer in head:
        if len(shape := shapes.get(f"{layer}.weight", ())) >= 2:
            return shape[1]
    return int(getattr(module, "num_features", 0))


def timm_published(name: str, module: nn.Module) -> KnownArchitecture:
    """What timm's configuration says of the default weights; the fields on the module itself are empty."""
    from timm.data.config import resolve_model_data_config

    data = resolve_model_data_config(module)
    classes = module.pretrained_cfg.get("num_classes", 0)  # type: ignore[union-attr]
    return KnownArchitecture(
        name, (), (), 0, tuple(data["input_size"]), tuple(map(float, data["mean"])), tuple(map(float, data["std"])),
        float(data["crop_pct"]), data["interpolation"], 0, int(classes or 0),
    )  # fmt: skip


def torchvision_published(name: str) -> KnownArchitecture:
    """What the transforms of torchvision's weights say; the fields on the module itself are empty."""
    from torchvision.models import get_model_weights

    offered = get_model_weights(name.removeprefix("torchvision/"))
    # The SWAG weights that were tuned end to end see larger images than the constructor's default.
    order = ("IMAGENET1K_V1", "IMAGENET1K_SWAG_LINEAR_V1", "DEFAULT")
    weights = next(offered[tag] for tag in order if tag in offered.__members__)
    see = weights.transforms()
    return KnownArchitecture(
        name, (), (), 0, (3, see.crop_size[0], see.crop_size[0]), tuple(map(float, see.mean)),
        tuple(map(float, see.std)), int(see.resize_size[0]), see.interpolation.value, 0,
        len(weights.meta["categories"]),
    )  # fmt: skip


def structures_to_compare(everything: Iterable[Built]) -> Iterator[list[Built]]:
    """For every group with more than one structure, one architecture a structure."""
    groups: dict[tuple, dict[str, Built]] = defaultdict(dict)
    for one in everything:
        groups[one.group].setdefault(one.structure, one)
    yield from (list(group.values()) for group in groups.values() if len(group) > 1)


def same_functions(group: list[Built]) -> tuple[list[int], list[Failed]]:
    """For every architecture of a group the position of the first that computes the same; what failed."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    outputs, failed = {}, []
    size = min(one.known.input_size for one in group)
    if not any(one.fixed_size for one in group):
        size = (size[0], min(SIDE, size[1]), min(SIDE, size[2]))
    firsts: list[int] = []
    for position, one in enumerate(group):
        first = position
        if one.parameters < SMALL:
            try:
                output = probe(make(one.known.name), size)
                first = next((other for other, known in outputs.items() if agree(known, output)), position)
                outputs.setdefault(first, output)
            except Exception as reason:  # It stays a function of its own, and the index says why.
                failed.append(Failed(one.known.name, f"not compared by numbers: {_one_line(reason)}"))
        firsts.append(first)
    return firsts, failed


def with_functions(everything: list[Built], classes_of: Mapping[tuple, int]) -> list[Built]:
    """The architectures, numbered by what they compute within their signature."""
    numbers: dict[str, dict[object, int]] = defaultdict(dict)
    numbered = []
    for one in everything:
        code = signature(one.shapes, one.known.heads)
        key = (one.known.heads, classes_of.get((one.group, one.structure), one.structure))
        function = numbers[code].setdefault(key, len(numbers[code]))
        numbered.append(replace(one, known=replace(one.known, function=function)))
    return numbered


def stored(everything: list[Built], failed: Mapping[str, str], versions: Mapping[str, str]) -> dict:
    """The index as `known.index_from` reads it."""
    trees, roots = TreeTable(), {}
    heads_at, eyes_at, stems, rows = {}, {}, set(), []
    for one in everything:
        known, code = one.known, signature(one.shapes, one.known.heads)
        if code not in roots:
            roots[code] = (len(roots), trees.add(nested(body(one.shapes, known.heads))))
        eye = (known.input_size, known.mean, known.std, known.resize_or_crop_pct, known.interpolation)
        stems |= {
            key for key, shape in one.shapes.items() if len(shape) == 4 and shape[1] == 3 and shape[0] > 3
        }
        rows.append([
            known.name, roots[code][0],
            *(heads_at.setdefault(layers, len(heads_at)) for layers in (known.head, known.auxiliary)),
            known.feature_dim, eyes_at.setdefault((*eye, type(eye[3])), len(eyes_at)), known.function, known.classes,
        ])  # fmt: skip
    return {
        "versions": dict(versions), "failed": dict(failed), "signatures": list(roots), "architectures": rows,
        "roots": [root for _, root in roots.values()], "heads": list(heads_at), "stems": sorted(stems),
        "preprocessing": [eye[:-1] for eye in eyes_at], "nodes": trees.nodes,
    }  # fmt: skip


def everything_stored(which: list[str], say: Callable[[str], None]) -> dict:
    """The index of some names, in two processes."""
    import timm
    import torchvision

    with get_context("fork").Pool(2, maxtasksperchild=100) as pool:
        results = pool.map(built, which, chunksize=10)
        done = [one for one in results if isinstance(one, Built)]
        failed = {one.name: one.reason for one in results if isinstance(one, Failed)}
        groups = list(structures_to_compare(done))
        say(f"{len(done)} built, {len(failed)} failed; {len(groups)} groups to compare")
        compared = pool.map(same_functions, groups, chunksize=1)
    classes_of = {}
    for group, (firsts, problems) in zip(groups, compared, strict=True):
        classes_of |= {(one.group, one.structure): first for one, first in zip(group, firsts, strict=True)}
        failed |= {problem.name: problem.reason for problem in problems}
    versions = {library.__name__: library.__version__.split("+")[0] for library in (torch, timm, torchvision)}
    return stored(with_functions(done, classes_of), failed, versions)


def write(content: dict, path: Path) -> None:
    """The same content gives the same bytes."""
    text = json.dumps(content, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def _one_line(reason: Exception) -> str:
    return f"{type(reason).__name__}: {' '.join(str(reason).split())[:120]}"


def main() -> None:
    """Rewrites the index and says what it holds."""
    start = time.perf_counter()
    path = Path(__file__).parent / INDEX
    content = everything_stored(names(), print)
    write(content, path)
    print(
        f"{len(content['architectures'])} architectures, {len(content['signatures'])} signatures, "
        f"{len(content['failed'])} failed, {path.stat().st_size / 1e3:.0f} kB, {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
