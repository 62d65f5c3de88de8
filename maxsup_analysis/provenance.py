"""Where features come from: checkpoint, network, data, precision, versions."""

import platform
from importlib.metadata import version

import torch

from maxsup_analysis.checkpoints import Checkpoint
from maxsup_analysis.classifiers import Classifier
from maxsup_analysis.datasets import Samples
from maxsup_analysis.extraction import Storage
from maxsup_analysis.forward import Precision
from maxsup_analysis.version import __version__

LIBRARIES = ("torch", "torchvision", "timm", "pillow")


def provenance_of(
    checkpoint: Checkpoint,
    data: Samples,
    classifier: Classifier,
    device: torch.device,
    precision: Precision,
    storage: Storage,
) -> dict[str, object]:
    """As plain JSON."""
    about = checkpoint.inspection.to_plain()
    return {
        "checkpoint": {"name": checkpoint.name, "sha256": checkpoint.sha256},
        "architecture": {"name": classifier.name, "arguments": about["arguments"]},
        "training": about["training"],
        "preprocessing": classifier.preprocessing.to_plain(),
        "weights": {"key": about["weights_key"], "ema": about["ema"]},
        "evidence": about["evidence"],
        "warnings": about["warnings"],
        "layer": classifier.place,
        "head": classifier.head.description if classifier.head else None,
        "data": data.name,
        "split": data.split,
        "data_sha256": data.fingerprint,
        "device": device.type,
        "dtype": storage.dtype,
        "amp": precision.amp,
        "package_version": __version__,
        "python_version": platform.python_version(),
        "versions": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """Of the libraries that decode images and run networks."""
    return {name: version(name) for name in LIBRARIES}


def other_versions(provenance: object) -> str | None:
    """Which libraries had another version when features were extracted, in words; None where all are the same."""
    before = provenance.get("versions") if isinstance(provenance, dict) else None
    if not isinstance(before, dict):
        return None
    now = library_versions()
    return (
        "; ".join(
            f"{name} {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]
        )
        or None
    )
