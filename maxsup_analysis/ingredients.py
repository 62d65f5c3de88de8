"""What the features of a checkpoint depend on, ingredient by ingredient."""

import hashlib
import json
from pathlib import Path

import torch
from torch import nn

from maxsup_analysis.classifiers import Classifier
from maxsup_analysis.datasets import Samples
from maxsup_analysis.extraction import Storage
from maxsup_analysis.feature_store import ContentKey
from maxsup_analysis.feature_store.seals import digest
from maxsup_analysis.forward import Precision

# Their code is told by their versions, which stand in the provenance.
LIBRARIES = {"torch", "torchvision", "timm", "transformers", "maxsup_analysis"}
# Of a configuration of transformers: who wrote it and from where, which changes no row.
PASSING = ("transformers_version", "_name_or_path", "architectures", "id2label", "label2id", "dtype")
# To be raised whenever the same ingredients would give other rows than before.
SCHEMA = 2


def content_key(
    classifier: Classifier,
    data: Samples,
    device: torch.device,
    precision: Precision,
    storage: Storage,
    *,
    hash_data: bool,
) -> ContentKey:
    """The key of the store that this extraction makes.

    Versions of libraries are no ingredient: they stand in the provenance, and a store that others made says so. Nor are
    batch size, workers and ranks, which change no row beyond rounding.
    """
    images = classifier.preprocessing
    return ContentKey(
        {
            "schema": SCHEMA,
            "weights": weights_digest(classifier.module),
            "architecture": classifier.name,
            "modules": hashlib.sha256(str(classifier.module).encode()).hexdigest(),
            **configuration_digest(classifier),
            "code": code_digest(classifier),
            "layer": classifier.place,
            "data": data.state(hash_contents=hash_data),
            "data checked by": "contents" if hash_data else "names, sizes and times",
            "samples": len(data),
            "labels": hashlib.sha256(data.labels.numpy().tobytes()).hexdigest(),
            "classes": digest(list(data.class_names)),
            **images.to_plain(),
            "device": device.type,
            "amp": precision.amp,
            "tf32": precision.tf32,
            "deterministic": precision.deterministic,
            "compile": precision.compile,
            "dtype": storage.dtype,
            "logits": storage.logits,
            "shard": storage.shard,
        }
    )


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of names, types, shapes and bytes of all parameters and buffers.

    Example:
        >>> first, second = nn.Linear(2, 2), nn.Linear(2, 2)
        >>> second.load_state_dict(first.state_dict())
        <All keys matched successfully>
        >>> weights_digest(first) == weights_digest(second)
        True
    """
    found = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        plain = tensor.detach().cpu().contiguous()
        found.update(f"{name}\0{plain.dtype}\0{tuple(plain.shape)}\n".encode())
        found.update(plain.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def configuration_digest(classifier: Classifier) -> dict[str, str]:
    """SHA-256 of the numbers that a network of transformers was made of, not all of which show in its modules."""
    config = getattr(classifier.module, "config", None)
    if not classifier.name.startswith("hf:") or not hasattr(config, "to_dict"):
        return {}
    said = {name: entry for name, entry in config.to_dict().items() if name not in PASSING}  # type: ignore[union-attr]
    return {
        "configuration": hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()
    }


def code_digest(classifier: Classifier) -> str | None:
    """SHA-256 of the source files of a model that is no library's, whose code may change between runs."""
    place = classifier.name.rpartition(":")[0]
    own = {
        type(part)
        for part in classifier.module.modules()
        if type(part).__module__.partition(".")[0] not in LIBRARIES
    }
    written = {kind.forward.__code__.co_filename for kind in own if hasattr(kind.forward, "__code__")}
    files = sorted(written | ({place} if place.endswith(".py") else set()))
    return digest([_content(Path(file)) for file in files]) if files else None


def _content(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else file.name
