"""Rows 26 and 36 to 38: what holds no weights that could be read without running it, and what is no checkpoint."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import torch
from torch import nn
from torch.package.package_exporter import PackageExporter

from tests.checkpoints.layout import refused
from tests.checkpoints.nets import network

GIT_LFS = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 102530333\n"
)
PAGE = (
    "<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
)


def written(path: Path, content: bytes | str) -> Path:
    """The path of what it holds now."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def checkpoint_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save(network("linear_probe").state_dict(), buffer)
    return buffer.getvalue()


def write_tar(path: Path, mode: str, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@refused(26, "legacy-tar", "tar")
def _(folder: Path) -> Path:
    """The layout of torch 0.1.10 and before: three members, each a pickle stream."""
    storage = struct.pack("<q", 4) + torch.rand(4).numpy().tobytes()
    members = {
        "storages": b"\x80\x02K\x01." + b"\x80\x02(U\x010U\x03cpuX\x0c\x00\x00\x00FloatStoraget." + storage,
        "tensors": b"\x80\x02K\x00.",
        "pickle": b"\x80\x02}.",
    }
    return write_tar(folder / "model.pth", "w", members)


@refused(36, "torch-package", "torch.package")
def _(folder: Path) -> Path:
    with PackageExporter(folder / "model.pt") as exporter:
        exporter.extern("torch.**")
        exporter.save_pickle("model", "model.pkl", nn.Linear(2, 2))
    return folder / "model.pt"


@refused(36, "aot-inductor", "AOTInductor")
def _(folder: Path) -> Path:
    members = {
        "model/archive_format": b"pt2",
        "model/archive_version": b"0",
        "model/byteorder": b"little",
        "model/data/aotinductor/model/cmodel.wrapper.so": b"\x7fELF\x02\x01\x01" + bytes(57),
        "model/data/aotinductor/model/cmodel.wrapper_metadata.json": b'{"AOTI_DEVICE_KEY": "cpu"}',
    }
    return write_zip(folder / "model.pt2", members)


@refused(36, "shared-object", "AOTInductor")
def _(folder: Path) -> Path:
    return written(folder / "model.so", b"\x7fELF\x02\x01\x01" + bytes(57))


@refused(37, "onnx", "ONNX")
def _(folder: Path) -> Path:
    """ModelProto: ir_version 8, then producer_name and the length of a graph."""
    return written(folder / "model.onnx", b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x04\x12\x02g0B\x02\x10\x11")


@refused(37, "keras-h5", "HDF5")
def _(folder: Path) -> Path:
    return written(folder / "weights.bin", b"\x89HDF\r\n\x1a\n" + bytes(504))


@refused(37, "keras", "Keras")
def _(folder: Path) -> Path:
    members = {
        "metadata.json": b'{"keras_version": "3.8.0", "date_saved": "2025-01-01@00:00:00"}',
        "config.json": b'{"module": "keras", "class_name": "Functional", "config": {}}',
        "model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(504),
    }
    return write_zip(folder / "model.bin", members)


@refused(37, "saved-model", "SavedModel")
def _(folder: Path) -> Path:
    path = folder / "export"
    (path / "variables").mkdir(parents=True)
    written(path / "saved_model.pb", b"\x08\x01\x12\x02\n\x00")
    written(path / "variables" / "variables.index", b"\x00" * 16)
    written(path / "variables" / "variables.data-00000-of-00001", b"\x00" * 16)
    return path


@refused(37, "flax", "Flax")
def _(folder: Path) -> Path:
    """A map of one entry, `params`, whose array is an extension of type 1."""
    return written(
        folder / "flax_model.msgpack",
        b"\x81\xa6params\x81\xa6kernel\xc7\x0f\x01\x93\x91\x01\xa7float32\xc4\x04\0\0\0\0",
    )


@refused(37, "gguf", "GGUF")
def _(folder: Path) -> Path:
    return written(folder / "model.bin", b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(8))


@refused(38, "tar", "tar")
def _(folder: Path) -> Path:
    return write_tar(folder / "model.pth", "w", {"run/model_best.pth": checkpoint_bytes()})


@refused(38, "tar-gz", "gzip")
def _(folder: Path) -> Path:
    return write_tar(folder / "model.pth", "w:gz", {"run/model_best.pth": checkpoint_bytes()})


@refused(38, "zip", "zip")
def _(folder: Path) -> Path:
    return write_zip(
        folder / "model.pth", {"run/model_best.pth": checkpoint_bytes(), "run/args.yaml": b"lr: 0.1\n"}
    )


@refused(38, "gzip", "gzip")
def _(folder: Path) -> Path:
    return written(folder / "model.pth", gzip.compress(checkpoint_bytes()))


@refused(38, "seven-zip", "7z")
def _(folder: Path) -> Path:
    return written(folder / "model.pth", b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(120))


@refused(38, "git-lfs-pointer", "git-lfs")
def _(folder: Path) -> Path:
    return written(folder / "model.safetensors", GIT_LFS)


@refused(38, "html", "HTML")
def _(folder: Path) -> Path:
    return written(folder / "resnet50.pth", PAGE)


@refused(38, "json", "JSON")
def _(folder: Path) -> Path:
    return written(folder / "model.safetensors", json.dumps({"error": "Repository not found"}))
