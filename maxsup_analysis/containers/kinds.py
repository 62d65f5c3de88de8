"""What a file is, by its first bytes and never by its name; and what to do with one that is no checkpoint."""

import struct
from pathlib import Path

from maxsup_analysis.containers.files import Window
from maxsup_analysis.errors import InputError

# Magic bytes -> what it is, and what the user does next.
REFUSED_MAGIC: dict[bytes, tuple[str, str]] = {
    b"\x89HDF\r\n\x1a\n": (
        "an HDF5 file (Keras .h5)",
        "convert the weights to PyTorch or .npz, or bring features as .npz",
    ),
    b"GGUF": (
        "a GGUF file",
        "it holds weights for llama.cpp; use the PyTorch checkpoint that it was made from",
    ),
    b"\x1f\x8b": ("a gzip archive", "unpack it with gunzip and name the file inside"),
    b"BZh": ("a bzip2 archive", "unpack it with bunzip2 and name the file inside"),
    b"\xfd7zXZ\x00": ("an xz archive", "unpack it with unxz and name the file inside"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it and name the file inside"),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "unpack it with unzstd and name the file inside"),
    b"Rar!": ("a RAR archive", "unpack it and name the file inside"),
    b"\x93NUMPY": ("a single NumPy array", "bring features and labels together in one .npz"),
    b"\x89PNG": ("a PNG image", "name the checkpoint; images go to --data"),
    b"\xff\xd8\xff": ("a JPEG image", "name the checkpoint; images go to --data"),
    b"GIF8": ("a GIF image", "name the checkpoint; images go to --data"),
    b"%PDF": ("a PDF document", "name the checkpoint"),
    b"\x7fELF": ("a compiled library (AOTInductor .so)", "use the checkpoint that it was compiled from"),
    b"version https://git-lfs": (
        "a git-lfs pointer, not the file itself",
        "fetch the file with `git lfs pull`",
    ),
}
MSGPACK_MAPS = (0xDE, 0xDF, *range(0x81, 0x90))


def sniff(window: Window) -> str:
    """`zip`, `pickle` or `safetensors`; raises InputError that names anything else and says what to do with it."""
    if not window.size:
        raise InputError("it is empty; fetch or save it again")
    head = window.at(0, min(window.size, 512))
    for magic, (what, advice) in REFUSED_MAGIC.items():
        if head.startswith(magic):
            raise InputError(f"it is {what}; {advice}")
    if head[257:262] == b"ustar":
        raise InputError(_tar(head))
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 32:
        return "safetensors"
    if head[0] == 0x80 and len(head) > 1 and head[1] <= 5:
        return "pickle"
    _refuse_others(head)
    return "pickle"


def _tar(head: bytes) -> str:
    if head.split(b"\0", 1)[0].decode("latin-1").strip("./") in ("sys_info", "pickle", "storages", "tensors"):
        return (
            "it is a checkpoint in the tar format of PyTorch 0.1; load it with the PyTorch that wrote it and "
            "save it again with a current one"
        )
    return "it is a tar archive; unpack it with `tar xf` and name the checkpoint inside"


def _refuse_others(head: bytes) -> None:
    """Raise InputError for what has no magic number but is recognised; protocol 0 pickles pass."""
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise InputError(
            "it is a web page (HTML), probably an error message of a server; fetch the file again"
        )
    if text.startswith(b"{") and b":" in text:
        raise InputError("it is JSON text; name the checkpoint, or the folder that this text describes")
    if head[0] == 0x08 and len(head) > 2 and head[2] in (0x12, 0x1A, 0x22, 0x3A):
        raise InputError("it is an ONNX model; use the PyTorch checkpoint that it was exported from")
    if head[0] in MSGPACK_MAPS and len(head) > 2 and head[1] & 0xE0 in (0xA0, 0xC0):
        raise InputError(
            "it is a msgpack file (Flax or JAX weights); convert them to .npz or .safetensors, names as in PyTorch"
        )
    if head[:1] not in b"(c]})lIdNFKVUXSi.":
        raise InputError(
            "it is of no known kind; expected a checkpoint of PyTorch, Lightning, timm, Hugging Face, "
            "safetensors or .npz"
        )
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head[:200]) and b"\n" not in head[:100]:
        raise InputError("it is text; name the checkpoint")


def refuse_zip(names: list[str]) -> InputError:
    """What a zip archive that holds no known checkpoint is."""
    lasts = {name.rpartition("/")[2] for name in names}
    if {"config.json", "model.weights.h5"} <= lasts:
        return InputError("it is a Keras model; convert the weights to PyTorch or .npz")
    if any("/.data/extern_modules" in name for name in names):
        return InputError(
            "it is a torch.package archive, which is a program; save the state dict with torch.save"
        )
    if any(name.endswith((".so", ".cpp", ".o", ".cubin")) for name in names):
        return InputError(
            "it is a compiled AOTInductor package; use the checkpoint that it was compiled from"
        )
    shown = ", ".join(sorted(names)[:3])[:120]
    return InputError(
        f"it is a zip archive of other files ({shown}); unpack it and name the checkpoint inside"
    )


def refuse_folder(folder: Path) -> InputError:
    """What a folder that holds no known checkpoint is, or holds."""
    names = sorted(path.name for path in list(folder.iterdir())[:1000])
    if "saved_model.pb" in names:
        return InputError("it is a TensorFlow SavedModel; convert the weights to PyTorch or .npz")
    if "latest" in names or any(name.startswith("global_step") for name in names):
        return InputError(
            "it is a DeepSpeed folder, its weights in pieces; join them with DeepSpeed's zero_to_fp32.py and "
            "name the file that it writes"
        )
    shown = ", ".join(names[:5])[:120] or "nothing"
    return InputError(
        f"it is a folder without a checkpoint that is known here (it has {shown}); name one file"
    )
