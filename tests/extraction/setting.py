"""A small network on small images, and the shards that an extraction leaves."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from maxsup_analysis.architectures.small import small_cnn
from maxsup_analysis.checkpoints import save_checkpoint
from maxsup_analysis.extraction import Storage
from maxsup_analysis.features import Extraction, extract_share

SIDE = 8


def write_checkpoint(path: Path, seed: int = 0) -> Path:
    """A network of random weights that says what it is."""
    torch.manual_seed(seed)
    metadata = {
        "architecture": {"name": "small_cnn", "arguments": {"channels": 1, "classes": 10, "widths": [8, 8, 8]}},
        "preprocessing": {"size": [1, SIDE, SIDE], "mean": [0.5], "std": [0.25], "resize": None},
        "training": {}, "classes": [str(label) for label in range(10)],
    }  # fmt: skip
    save_checkpoint(path, small_cnn(1, 10, (8, 8, 8)).state_dict(), metadata)
    return path


def write_images(path: Path, count: int, seed: int = 0) -> Path:
    """An .npz of random grey images and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    np.savez(path, images=rng.integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8), labels=labels)
    return path


@dataclass(frozen=True)
class Setting:
    """A checkpoint, data, and how its features are extracted, in shards of 37."""

    folder: Path
    how: Extraction

    @classmethod
    def of(cls, folder: Path, count: int, **options: object) -> "Setting":
        """Files for it are written into the folder."""
        write_checkpoint(folder / "net.pt")
        write_images(folder / "images.npz", count)
        return cls.at(folder, **options)

    @classmethod
    def at(cls, folder: Path, **options: object) -> "Setting":
        """With the files that are there."""
        data = str(folder / "images.npz")
        how = Extraction(data=data, batch_size=16, storage=Storage(shard=37), device="cpu")
        return cls(folder, replace(how, **options))  # type: ignore[arg-type]

    @property
    def checkpoint(self) -> Path:
        return self.folder / "net.pt"

    def extract(self, name: str = "s.features", *, overwrite: bool = False, **options: object):
        """Run it, with other options where given."""
        how = replace(self.how, **options)  # type: ignore[arg-type]
        threads = torch.get_num_threads()
        # Linear algebra may choose other numbers of threads under load, and round otherwise.
        torch.set_num_threads(1)
        try:
            return extract_share(self.checkpoint, self.folder / name, how, overwrite=overwrite)
        finally:
            torch.set_num_threads(threads)


def bytes_of(store: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(store.iterdir())}


def ids_of(store: Path) -> list[int]:
    """All ids, read without the package: safetensors and the manifest alone."""
    from safetensors.torch import load_file

    manifest = json.loads((store / "manifest.json").read_text())
    return [
        number for shard in manifest["shards"] for number in load_file(store / shard["file"])["ids"].tolist()
    ]
