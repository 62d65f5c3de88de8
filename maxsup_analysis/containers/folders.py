"""Checkpoints that are folders: Hugging Face, shards with an index, torch.distributed, and runs with one file."""

import io
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from maxsup_analysis.containers.archive import read_archive
from maxsup_analysis.containers.arrays import node_of_json, plain_json
from maxsup_analysis.containers.contents import (
    Contents,
    Node,
    Object,
    Record,
    StoredTensor,
    entries_of,
    tensors_in,
)
from maxsup_analysis.containers.files import Window, confined
from maxsup_analysis.containers.kinds import refuse_folder
from maxsup_analysis.containers.pickles import Call, read_pickle
from maxsup_analysis.containers.pieces import joined
from maxsup_analysis.containers.single import read_file
from maxsup_analysis.containers.tensors import TENSOR_LIMIT
from maxsup_analysis.containers.torch_files import read_torch_zip
from maxsup_analysis.errors import InputError

SIDECARS = ("config.json", "preprocessor_config.json", "processor_config.json", "params.json")
# The names of 22,000 classes take 2 MB.
SIDECAR_LIMIT = 1 << 23
LIGHTNING_META = "meta.pt"
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
# In the order of preference.
WEIGHTS = (
    "model.safetensors", "pytorch_model.bin", "final_weights.pt", "model_best.pth.tar", "last.pth.tar",
    "model_best.pth", "best.ckpt", "last.ckpt",
)  # fmt: skip
ENDINGS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".tar", ".npz")


def read_folder(folder: Path) -> Contents:
    """The weights of a folder; raises InputError where it is none of the layouts above, or ambiguous."""
    if (folder / ".metadata").is_file():
        return _read_distributed(folder)
    if (folder / "latest").is_file():
        return _read_deepspeed(folder)
    for index in INDEXES:
        if (folder / index).is_file():
            return _with_sidecars(_read_sharded(folder, index), folder)
    present = [name for name in WEIGHTS if (folder / name).is_file()]
    others = sorted(path.name for path in folder.iterdir() if path.name.endswith(ENDINGS) and path.is_file())
    if not present and len(others) > 1:
        raise InputError(f"it has several checkpoints ({', '.join(others[:5])[:120]}); name one of them")
    if not present and not others:
        raise refuse_folder(folder)
    name = (present or others)[0]
    return _with_sidecars(_moved(read_file(confined(folder, name)), name), folder)


def _read_deepspeed(folder: Path) -> Contents:
    """DeepSpeed's: `latest` names the folder of the step, where stages 0 to 2 keep the weights whole."""
    step = confined(folder, "latest").read_bytes()[:200].decode("utf-8", "replace").strip()
    name = f"{step}/mp_rank_00_model_states.pt"
    if not (folder / name).is_file():
        raise refuse_folder(folder)
    return _moved(read_file(confined(folder, name)), name)


def _with_sidecars(contents: Contents, folder: Path) -> Contents:
    return replace(contents, sidecars={**contents.sidecars, **read_sidecars(folder)})


def read_sidecars(folder: Path) -> dict[str, Node]:
    """The small JSON files that say what weights are; for what is damaged or too large, an object that says so."""
    found = {}
    for name in SIDECARS:
        path = folder / name
        if path.is_file():
            try:
                found[name] = _read_sidecar(path)
            except InputError as reason:
                found[name] = Object(str(reason))
    return found


def _read_sidecar(path: Path) -> Node:
    if path.stat().st_size > SIDECAR_LIMIT:
        raise InputError(f"larger than {SIDECAR_LIMIT >> 20} MB")
    try:
        return node_of_json(plain_json(path.read_bytes()))
    except InputError:
        raise InputError("damaged JSON") from None


def _moved(contents: Contents, name: str) -> Contents:
    """Contents of a file, seen from the folder that it lies in."""

    def moved(node: Node) -> Node:
        if isinstance(node, StoredTensor):
            return replace(node, record=replace(node.record, file=name))
        if isinstance(node, Object):
            return replace(node, attributes={key: moved(entry) for key, entry in node.attributes.items()})
        if isinstance(node, Mapping):
            return {key: moved(entry) for key, entry in node.items()}
        return tuple(moved(entry) for entry in node) if isinstance(node, tuple) else node

    records = tuple(replace(record, file=name) for record in contents.records)
    return replace(contents, tree=moved(contents.tree), records=records)


def _read_sharded(folder: Path, index: str) -> Contents:
    described = plain_json(confined(folder, index).read_bytes())
    weight_map = described.get("weight_map") if isinstance(described, Mapping) else None
    named = isinstance(weight_map, Mapping) and all(isinstance(name, str) for name in weight_map.values())
    if not isinstance(weight_map, Mapping) or not named or len(weight_map) > TENSOR_LIMIT:
        raise InputError(f"its {index} has no weight_map from tensors to files")
    shards = {
        str(name): _moved(read_file(confined(folder, str(name))), str(name))
        for name in set(weight_map.values())
    }
    tree = _listed(index, weight_map, {name: shard.tensors for name, shard in shards.items()})
    return Contents(
        f"shards with an index ({len(shards)})",
        tree,
        tuple(record for shard in shards.values() for record in shard.records),
        tuple(dict.fromkeys(name for shard in shards.values() for name in shard.foreign)),
        tuple(dict.fromkeys(warning for shard in shards.values() for warning in shard.warnings)),
    )


def _listed(
    index: str, weight_map: Mapping[str, object], tensors: Mapping[str, Mapping[str, StoredTensor]]
) -> dict[str, Node]:
    """The tensors of all shards; each is in the one file where the index says, and the index knows all of them."""
    tree: dict[str, Node] = {}
    for key, name in weight_map.items():
        if key not in tensors[str(name)]:
            raise InputError(f"its {index} says that {key[:80]!r} is in {str(name)[:60]!r}, where it is not")
        tree[key] = tensors[str(name)][key]
    for name, held in tensors.items():
        other = next((key for key in held if weight_map.get(key) != name), None)
        if other is not None:
            raise InputError(
                f"its {name[:60]!r} holds {other[:80]!r}, which {index} does not say; copy the folder again, all "
                "files from one source"
            )
    return tree


def _read_distributed(folder: Path) -> Contents:
    """torch.distributed.checkpoint: what is where stands in `.metadata`, the pieces are torch zips in files."""
    metadata = _state(read_pickle(io.BytesIO(_small(folder / ".metadata"))))
    described, stored = metadata.get("state_dict_metadata"), metadata.get("storage_data")
    if not isinstance(described, dict) or not isinstance(stored, dict):
        raise InputError("its .metadata does not describe a state dict")
    places: dict[str, list[tuple[tuple[int, ...], dict]]] = {}
    for index, info in stored.items():
        about = _state(index)
        places.setdefault(str(about.get("fqn")), []).append((_numbers(about.get("offset")), _state(info)))
    tree: dict[str, StoredTensor] = {}
    records: list[Record] = []
    for name, about in described.items():
        shape = _numbers(_state(about).get("size"))
        if "size" not in _state(about):
            continue
        pieces = [(position, _piece(folder, info)) for position, info in places.get(str(name), [])]
        if not pieces:
            raise InputError(f"the bytes of {str(name)[:80]!r} are not in the folder; copy the whole folder")
        records += [record for _, (_, checked) in pieces for record in checked]
        tree[str(name)] = joined(shape, [(position, piece) for position, (piece, _) in pieces], str(name))
    nested = _nested(tree, metadata.get("planner_data"))
    beside = _beside_pieces(folder)
    whole = {
        **{name: entry for name, entry in entries_of(beside.tree).items() if name not in nested},
        **nested,
    }
    kind = "torch.distributed checkpoint"
    return Contents(kind, whole, (*records, *beside.records), beside.foreign, beside.warnings)


def _beside_pieces(folder: Path) -> Contents:
    """What Lightning keeps in `meta.pt` beside the weights: epoch and hyper-parameters; nothing of other programs."""
    if not (folder / LIGHTNING_META).is_file():
        return Contents("nothing", {})
    return _moved(read_file(confined(folder, LIGHTNING_META)), LIGHTNING_META)


def _nested(tree: Mapping[str, StoredTensor], places: object) -> dict[str, Node]:
    """The tree that was saved: `planner_data` says which of the dots in a name are levels of it."""
    nested: dict[str, Node] = {}
    for name, tensor in tree.items():
        place = places.get(name) if isinstance(places, dict) else None
        path = [str(part) for part in place] if isinstance(place, tuple) and place else [name]
        level = nested
        for part in path[:-1]:
            below = level.setdefault(part, {})
            if not isinstance(below, dict):
                raise InputError(f"its .metadata puts {name[:80]!r} below a tensor")
            level = below
        level[path[-1]] = tensor
    return nested


def _small(path: Path) -> bytes:
    if path.stat().st_size > 1 << 28:
        raise InputError(f"its {path.name} has more than 256 MB")
    return path.read_bytes()


def _state(value: object) -> dict:
    if isinstance(value, Call) and isinstance(value.state, dict):
        return value.state
    return {}


def _numbers(value: object) -> tuple[int, ...]:
    """A torch.Size as plain numbers; () for None."""
    if isinstance(value, Call) and isinstance(value.arguments, tuple) and len(value.arguments) == 1:
        value = value.arguments[0]
    if value is None:
        return ()
    if isinstance(value, tuple) and all(type(n) is int and 0 <= n < 1 << 60 for n in value):
        return value
    raise InputError("its .metadata has a shape or a position that is none")


def _piece(folder: Path, info: Mapping) -> tuple[StoredTensor, tuple[Record, ...]]:
    name, offset, length = info.get("relative_path"), info.get("offset"), info.get("length")
    if (
        not isinstance(name, str)
        or type(offset) is not int
        or type(length) is not int
        or offset < 0
        or length < 0
    ):
        raise InputError("its .metadata says nothing sound of where its pieces lie")
    if info.get("transform_descriptors"):
        raise InputError("its pieces are compressed; save it without transforms")
    path = confined(folder, name)
    with path.open("rb") as file:
        if offset + length > os.fstat(file.fileno()).st_size:
            raise InputError(f"its file {name[:60]!r} is cut off; copy the whole folder")
        window = Window(file, offset, length)
        contents = read_torch_zip(window, read_archive(window), name)
    tensors = [tensor for _, tensor in tensors_in(contents.tree)]
    if len(tensors) != 1:
        raise InputError(f"a piece of its file {name[:60]!r} holds {len(tensors)} tensors, expected one")
    return tensors[0], contents.records
