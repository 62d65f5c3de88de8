"""Files that would run something if opened as their makers hope: every container with every payload.

HOSTILE maps "container-payload" to a builder: given an empty folder and the path of a canary, it returns what to open.
Each file also holds honest weights, so that nothing about it looks odd.
"""

import io
import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from tests.checkpoints.archives import (
    Record,
    npy,
    safetensors,
    saved,
    storages_of,
    torch_records,
    torch_tar,
    torch_zip,
    unzipped,
    zipped,
)
from tests.checkpoints.opcodes import (
    BUILD,
    PERSISTENT,
    POP,
    SENTINEL,
    WEIGHTS,
    called,
    items,
    made,
    mapping,
    named,
    planted,
    sequence,
    state_dict,
    stream,
    text,
    value_of,
    whole,
)
from tests.checkpoints.payloads import PAYLOADS

Container = Callable[[Path, bytes, Path], Path]  # (folder, payload, canary) -> what to open
MATRIX = np.arange(6, dtype="<f4").reshape(2, 3)


def written(path: Path, content: bytes) -> Path:
    """A file that holds the content; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def weights() -> dict[str, torch.Tensor]:
    """A layer."""
    return {"weight": torch.from_numpy(MATRIX.copy()), "bias": torch.tensor([0.5, -0.5])}


@cache
def _saved(layout: str, *, legacy: bool = False) -> bytes:
    lightning = {"pytorch-lightning_version": "2.6.0", "hyper_parameters": {"lr": 0.1, "loss": SENTINEL}}
    extras = {"plain": {"epoch": SENTINEL}, "lightning": lightning}[layout]
    return saved({"state_dict": weights(), **extras}, legacy=legacy)


def _resaved(payload: bytes, layout: str = "plain") -> bytes:
    """A torch zip from torch.save, the payload planted in it."""
    members = unzipped(_saved(layout))
    return torch_zip(planted(members["data.pkl"], payload), storages_of(members))


def _layer(payload: bytes) -> bytes:
    """A state dict with one entry more, as a pickle."""
    return stream(mapping((text("epoch"), payload), *state_dict()))


def _arrays(payload: bytes) -> bytes:
    """NumPy weights with one entry more, as a pickle."""
    return stream(mapping((text("weight"), value_of(MATRIX)), (text("epoch"), payload)))


def _object_array(payload: bytes) -> bytes:
    return npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", _arrays(payload))


def torch_zip_file(folder: Path, payload: bytes, canary: Path) -> Path:
    return written(folder / "resnet.pt", _resaved(payload))


def lightning_hyper_parameters(folder: Path, payload: bytes, canary: Path) -> Path:
    return written(folder / "last.ckpt", _resaved(payload, "lightning"))


def legacy_stream(folder: Path, payload: bytes, canary: Path) -> Path:
    return written(folder / "old.pth", planted(_saved("plain", legacy=True), payload))


def legacy_stream_facts(folder: Path, payload: bytes, canary: Path) -> Path:
    """The payload in the third pickle of the stream, which only describes the machine."""
    honest = saved(weights(), legacy=True)
    facts = stream(mapping((text("protocol_version"), whole(1001)), (text("type_sizes"), payload)))
    magic = stream(whole(0x1950A86A20F9469CFC6C)) + stream(whole(1001))
    rest = honest[honest.index(b"type_sizes") :]
    return written(folder / "old.pth.tar", magic + facts + rest[rest.index(b"u.\x80") + 2 :])


def legacy_tar(folder: Path, payload: bytes, canary: Path) -> Path:
    layer = ((text(name), text(key) + PERSISTENT) for name, key in (("weight", "0"), ("bias", "1")))
    document = stream(mapping(*layer, (text("epoch"), payload)))
    return written(folder / "oldest.pth.tar", torch_tar(document, WEIGHTS))


def bare_pickle(folder: Path, payload: bytes, canary: Path) -> Path:
    return written(folder / "model_final.pkl", _arrays(payload))


def whole_module(folder: Path, payload: bytes, canary: Path) -> Path:
    parts = {
        "hook": payload,
        "_parameters": mapping(*state_dict()),
        "_buffers": mapping(),
        "_modules": mapping(),
    }
    state = mapping(*((text(name), value) for name, value in parts.items()))
    document = stream(made(named("__main__", "Net")) + state + BUILD)
    return written(folder / "model.pt", torch_zip(document, WEIGHTS))


def _torchscript(document: bytes, constants: bytes) -> bytes:
    source = b"class Net(Module):\n  __parameters__ = ['weight', 'bias', ]\n"
    script = Record("archive/code/__torch__.py", source, deflate=True)
    return zipped([*torch_records(document, WEIGHTS), script, Record("archive/constants.pkl", constants)])


def torchscript_data(folder: Path, payload: bytes, canary: Path) -> Path:
    state = mapping((text("training"), payload), *state_dict())
    document = stream(made(named("__torch__", "Net")) + state + BUILD)
    return written(folder / "scripted.pt", _torchscript(document, stream(items())))


def torchscript_constants(folder: Path, payload: bytes, canary: Path) -> Path:
    document = stream(made(named("__torch__", "Net")) + mapping(*state_dict()) + BUILD)
    return written(folder / "scripted.pt", _torchscript(document, stream(items(payload))))


def _exported(weight: bytes, sample_inputs: bytes, *, pickled: bool) -> bytes:
    meta = {"dtype": 7, "sizes": [{"as_int": 2}, {"as_int": 3}], "strides": [{"as_int": 3}, {"as_int": 1}]}
    meta |= {"requires_grad": True, "device": {"type": "cpu", "index": None}, "layout": 7}
    meta |= {"storage_offset": {"as_int": 0}}
    entry = {"path_name": "weight_0", "is_param": True, "use_pickle": pickled, "tensor_meta": meta}
    members = {
        "data/weights/weight_0": weight,
        "data/weights/model_weights_config.json": json.dumps({"config": {"weight": entry}}).encode(),
        "data/constants/model_constants_config.json": b'{"config": {}}',
        "models/model.json": b'{"schema_version": {"major": 8, "minor": 8}}',
        "data/sample_inputs/model.pt": sample_inputs,
        "archive_format": b"pt2",
        "archive_version": b"0",
        ".data/version": b"6\n",
        "byteorder": b"little",
    }
    return zipped(Record(f"exported/{name}", body) for name, body in members.items())


def pt2_weight(folder: Path, payload: bytes, canary: Path) -> Path:
    return written(folder / "net.pt2", _exported(_resaved(payload), saved(((), {})), pickled=True))


def pt2_sample_inputs(folder: Path, payload: bytes, canary: Path) -> Path:
    return written(folder / "net.pt2", _exported(WEIGHTS["0"], _resaved(payload), pickled=False))


def distributed(folder: Path, metadata: bytes, item: bytes) -> Path:
    """A folder as torch.distributed.checkpoint writes it."""
    written(folder / "run" / "__0_0.distcp", item)
    return written(folder / "run" / ".metadata", metadata).parent


def distributed_metadata(length: int, plan: object, relative_path: str = "__0_0.distcp") -> bytes:
    """The .metadata of one tensor of 2 x 3, as an expression."""
    chunk = ChunkStorageMetadata(torch.Size([0, 0]), torch.Size([2, 3]))
    entry = TensorStorageMetadata(TensorProperties(dtype=torch.float32), torch.Size([2, 3]), [chunk])
    place = {MetadataIndex("model.weight", torch.Size([0, 0])): _StorageInfo(relative_path, 0, length)}
    return value_of(Metadata({"model.weight": entry}, planner_data=plan, storage_data=place))


def dcp_metadata(folder: Path, payload: bytes, canary: Path) -> Path:
    item = saved(weights()["weight"])
    metadata = distributed_metadata(len(item), {"model.weight": SENTINEL})
    return distributed(folder, stream(planted(metadata, payload)), item)


def dcp_item(folder: Path, payload: bytes, canary: Path) -> Path:
    members = unzipped(saved(weights()["weight"]))
    document = members["data.pkl"][:2] + payload + POP + members["data.pkl"][2:]
    item = torch_zip(document, storages_of(members))
    return distributed(folder, stream(distributed_metadata(len(item), {})), item)


def npy_objects(folder: Path, payload: bytes, canary: Path) -> Path:
    return written(folder / "features.npy", _object_array(payload))


def npz_objects(folder: Path, payload: bytes, canary: Path) -> Path:
    honest = io.BytesIO()
    np.save(honest, MATRIX)
    records = [Record("weight.npy", honest.getvalue()), Record("names.npy", _object_array(payload))]
    return written(folder / "vit.npz", zipped(records))


def dill_pickle(folder: Path, payload: bytes, canary: Path) -> Path:
    loaded = called(named("dill._dill", "_load_type"), text("CodeType"))
    document = mapping((text("weight"), value_of(MATRIX)), (text("type"), loaded), (text("forward"), payload))
    return written(folder / "robust.pt.best", stream(document, protocol=4))


def safetensors_in_name_only(folder: Path, payload: bytes, canary: Path) -> Path:
    return written(folder / "model.safetensors", _resaved(payload))


def joblib_pickle(folder: Path, payload: bytes, canary: Path) -> Path:
    """An array follows its wrapper as raw bytes, in the midst of the opcodes."""
    facts = {"order": "C", "dtype": np.dtype("<f4"), "shape": (2, 3), "allow_mmap": True}
    state = value_of({**facts, "numpy_array_alignment_in_bytes": 16, "subclass": np.ndarray})
    wrapper = (
        made(named("joblib.numpy_pickle", "NumpyArrayWrapper")) + state + BUILD + b"\x00" + MATRIX.tobytes()
    )
    document = stream(sequence(payload, wrapper), protocol=4)
    return written(folder / "head.joblib", document)


def hugging_face_code(folder: Path, payload: bytes, canary: Path) -> Path:
    """Code beside the weights, a config that names it, and a config that names a call."""
    config = {
        "architectures": ["Net"],
        "auto_map": {"AutoModel": "modeling_net.Net"},
        "custom_pipeline": "modeling_net",
        "model": {"_target_": "os.system", "command": f"touch '{canary}'"},
    }
    written(folder / "repo" / "modeling_net.py", f"open({str(canary)!r}, 'w').close()".encode())
    written(folder / "repo" / "config.json", json.dumps(config).encode())
    return written(folder / "repo" / "pytorch_model.bin", _resaved(payload)).parent


def hugging_face_shard(folder: Path, payload: bytes, canary: Path) -> Path:
    names = {"weight": "pytorch_model-00001-of-00001.bin", "bias": "pytorch_model-00001-of-00001.bin"}
    index = json.dumps({"metadata": {"total_size": 32}, "weight_map": names}).encode()
    written(folder / "repo" / "pytorch_model.bin.index.json", index)
    return written(folder / "repo" / names["weight"], torch_zip(_layer(payload), WEIGHTS)).parent


def accelerate_folder(folder: Path, payload: bytes, canary: Path) -> Path:
    header = {"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    written(folder / "state" / "random_states_0.pkl", stream(payload))
    written(folder / "state" / "optimizer.bin", _resaved(payload))
    return written(folder / "state" / "model.safetensors", safetensors(header, WEIGHTS["0"])).parent


def yaml_sidecar(folder: Path, payload: bytes, canary: Path) -> Path:
    tags = f"lr: 0.1\nloss: !!python/object/apply:os.system [\"touch '{canary}'\"]\n"
    tags += f"data: !!python/object/new:builtins.exec [\"open('{canary}', 'w')\"]\n"
    written(folder / "version_0" / "hparams.yaml", tags.encode())
    return written(folder / "version_0" / "checkpoints" / "last.ckpt", _resaved(payload, "lightning"))


def torch_package(folder: Path, payload: bytes, canary: Path) -> Path:
    members = {
        ".data/extern_modules": b"torch\n",
        ".data/version": b"6\n",
        "net/__init__.py": f"open({str(canary)!r}, 'w').close()".encode(),
        "model/model.pkl": _layer(payload),
        ".data/0.storage": WEIGHTS["0"],
    }
    return written(
        folder / "packaged.pt", zipped(Record(f"packaged/{name}", body) for name, body in members.items())
    )


CONTAINERS: dict[str, Container] = {
    container.__name__: container
    for container in (
        torch_zip_file,
        lightning_hyper_parameters,
        legacy_stream,
        legacy_stream_facts,
        legacy_tar,
        bare_pickle,
        whole_module,
        torchscript_data,
        torchscript_constants,
        pt2_weight,
        pt2_sample_inputs,
        dcp_metadata,
        dcp_item,
        npy_objects,
        npz_objects,
        dill_pickle,
        safetensors_in_name_only,
        joblib_pickle,
        hugging_face_code,
        hugging_face_shard,
        accelerate_folder,
        yaml_sidecar,
        torch_package,
    )
}


def _build(container: Container, payload: Callable[[Path], bytes], folder: Path, canary: Path) -> Path:
    return container(folder, payload(canary), canary)


HOSTILE: dict[str, Callable[[Path, Path], Path]] = {
    f"{container}-{payload}": partial(_build, CONTAINERS[container], PAYLOADS[payload])
    for container in CONTAINERS
    for payload in PAYLOADS
}
