"""What a run is made of, as one name: two runs have the same name only if they give the same weights."""

import hashlib
import json
from functools import cache
from pathlib import Path

from maxsup_analysis.datasets import open_data
from maxsup_analysis.training import TrainingPlan
from maxsup_analysis.training.plan import PLACES

PACKAGE = Path(__file__).parents[1]
# What decides the weights of a run beside its plan and its data.
TRAINING_CODE = ("training", "losses", "architectures/small.py", "datasets", "preprocessing.py")
DIGITS = 12


def name_of(plan: TrainingPlan) -> str:
    """Digest of the plan, its training data and the code that trains: twelve hexadecimal digits.

    Where it runs (device, workers) does not count: it is in the checkpoint's own record.
    """
    content = {
        "plan": settings_of(plan),
        "data": _data_state(plan.data, plan.split, plan.data_dir),
        "code": code_digest(TRAINING_CODE),
        "user_code": _user_code(plan.model),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:DIGITS]


def settings_of(plan: TrainingPlan) -> dict[str, object]:
    """The plan as plain JSON, without where it runs."""
    return {name: value for name, value in plan.to_plain().items() if name not in PLACES}


@cache
def code_digest(parts: tuple[str, ...] = ("",)) -> str:
    """Digest of modules of this package; of all of it where none are named."""
    digest = hashlib.sha256()
    for part in parts:
        place = PACKAGE / part
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(f"{path.relative_to(PACKAGE)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


@cache
def _data_state(name: str, split: str, folder: Path | None) -> str:
    data = open_data(name, split, folder)
    return f"{data.fingerprint} {data.state(hash_contents=False)}"


def _user_code(model: str) -> str | None:
    """The contents of the user's file that makes the model, where one does."""
    place, _, _ = model.rpartition(":")
    return hashlib.sha256(Path(place).read_bytes()).hexdigest() if place.endswith(".py") else None
