"""What a stranger's data, class maps and states of trainings can be: links, names, scripts and pickles."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch

from maxsup_analysis.training.state import FORMAT
from tests.checkpoints.handed_over import LABELS, PLACES, Payload, canary, npz, objects
from tests.checkpoints.stated_attacks import NAMES, Write
from tests.datasets.photographs import encoded, pixels


def tar(*members: tuple[str, bytes], link: str | None = None) -> Write:
    def write(folder: Path) -> str:
        with tarfile.open(folder / "x.tar", "w") as archive:
            for name, content in members:
                about = tarfile.TarInfo(name)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
            if link is not None:
                about = tarfile.TarInfo("b/1.png")
                about.type, about.linkname = tarfile.SYMTYPE, link.format(here=folder)
                archive.addfile(about)
        return "x.tar"

    return write


def zipped(*members: tuple[str, bytes]) -> Write:
    def write(folder: Path) -> str:
        with zipfile.ZipFile(folder / "x.zip", "w") as archive:
            for name, content in members:
                about = zipfile.ZipInfo(name)
                about.external_attr = 0o120777 << 16 if content.startswith(b"../") else 0
                archive.writestr(about, content)
        return "x.zip"

    return write


def hugging_face(**files: str) -> Write:
    """A folder of datasets.save_to_disk that names a script, a builder, files elsewhere."""

    def write(folder: Path) -> str:
        (folder / "x").mkdir()
        for name, content in files.items():
            (folder / "x" / name).write_text(content)
        (folder / "x" / "trap_file.py").write_bytes((folder / "trap_file.py").read_bytes())
        return "x"

    return write


PNG = encoded(pixels(1))


def data() -> dict[str, Write]:
    state = {
        "_data_files": [{"filename": "../trap.arrow"}],
        "_fingerprint": "x",
        "_format_type": "os.system",
        "_split": "x",
    }
    info = {
        "builder_name": "trap_file",
        "features": {"image": {"_type": "trap_file"}, "label": {"_type": "ClassLabel"}},
    }
    return {
        **{f"tar link {n}": tar(("a/0.png", PNG), link=text) for n, text in enumerate(PLACES) if text.isprintable()},
        **{f"tar name {n}": tar((f"{text}/0.png", PNG), ("b/0.png", PNG)) for n,
        text in enumerate(PLACES) if "\0" not in text},
        **{f"zip name {n}": zipped((f"{text}/0.png", PNG), ("b/0.png", PNG)) for n, text in enumerate(PLACES[:4])},
        "zip link": zipped(("a/0.png", b"../trap.pth"), ("b/0.png", PNG)),
        **{f"webdataset {n}": tar(("0.png", PNG), ("0.json", json.dumps({"label": text, "__url__": text}).encode()))
           for n, text in enumerate((*NAMES[:12], {"_target_": "os.system"}, 10**400))},
        "webdataset pickle": tar(("0.png", PNG), ("0.pyd", b"cposix\nsystem\n(S'touch PWNED'\ntR.")),
        "state": hugging_face(**{"state.json": json.dumps(state), "dataset_info.json": json.dumps(info)}),
        "splits": hugging_face(**{"dataset_dict.json": json.dumps({"splits": ["../trap", "/trap", "train"]})}),
        "script": hugging_face(**{"x.py": "open('PWNED', 'w')", "README.md": "---\nconfigs: trap_file.py\n---"}),
        "objects": npz(images=objects, labels=LABELS), "object labels": npz(images=np.zeros((60, 8, 8, 1)),
        labels=objects),
    }  # fmt: skip


def text(content: str) -> Write:
    def write(folder: Path) -> str:
        (folder / "classes.txt").write_text(content, errors="replace")
        return "classes.txt"

    return write


def class_maps() -> dict[str, Write]:
    lines = {f"line {n}": f"{name}\n" * 10 for n, name in enumerate((*NAMES[:12], *PLACES[:6]))}
    files = {f"file {n}": "\n".join(f"{place} {k}" for k in range(10)) for n, place in enumerate(PLACES[:8])}
    code = {
        "json": '{"0": "os:system"}',
        "python": "import trapmodule",
        "pickle": "cposix\nsystem\n(S'touch PWNED'\ntR.",
    }
    return {name: text(content) for name, content in {**lines, **files, **code}.items()}


def state(tree: object, **about: str) -> Write:
    """Where `train -o x.pt` goes on from."""

    def write(folder: Path) -> str:
        said = {"format": FORMAT, "tree": tree if isinstance(tree, str) else json.dumps(tree), **about}
        safetensors.numpy.save_file({"0": np.zeros(3)}, folder / "x.pt.state", said)
        return "x.pt"

    return write


def pickled_state(folder: Path) -> str:
    torch.save({"model": Payload(canary(folder))}, folder / "x.pt.state")
    return "x.pt"


def states() -> dict[str, Write]:
    pairs = (
        [["plan", {"pairs": [["model", "os:system"]]}]],
        [["epoch", 10**30]],
        [["history", "os.system"]],
        [],
    )
    return {
        "pickle": pickled_state, "deep": state("[" * 100_000), "none": state("null"), "format": state({}, format="x"),
        **{f"pairs {n}": state({"pairs": one}) for n, one in enumerate(pairs)},
        **{f"tensor {n}": state({"pairs": [["model", {"tensor": name}]]}) for n, name in enumerate(("1", "../0", ""))},
        "code": state({"_target_": "os.system"}), "list": state({"list": [{"pairs": [["a", "b", "c"]]}]}),
    }  # fmt: skip
