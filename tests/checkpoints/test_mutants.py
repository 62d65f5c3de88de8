"""Tests for mutants: five thousand changed files, each opened or refused."""

import json
import subprocess
import sys
from pathlib import Path

from tests.checkpoints.mutate import mutant, placed, samples
from tests.checkpoints.opening import ROOT, outcomes

COUNT, SEED = 5_000, 20_240_501


def test_a_number_always_makes_the_same_mutant():
    assert [mutant(number, SEED).content for number in range(200)] == [
        mutant(number, SEED).content for number in range(200)
    ]


def test_hardly_a_mutant_is_its_sample():
    unchanged = [number for number in range(500) if mutant(number, SEED).content == whole(number)]
    assert len(unchanged) < 50


def whole(number: int) -> bytes:
    """The sample that a mutant is made of."""
    sample = samples()[number % len(samples())]
    return sample.whole(sample.core)


def test_the_samples_open_or_are_refused_before_they_are_changed(tmp_path: Path):
    paths = []
    for place, sample in enumerate(samples()):
        (tmp_path / str(place)).mkdir()
        changed = mutant(place, SEED)
        paths.append(placed(type(changed)(sample, whole(place)), tmp_path / str(place)))
    kinds = {outcome.path: outcome.kind for outcome in outcomes("parse", paths).values()}
    refused = {Path(path).name for path, kind in kinds.items() if kind != "opened"}
    assert refused <= {"tar.pth", "text.pkl", "weight.npy"}  # each may be refused by name


def test_five_thousand_mutants_are_opened_or_refused():
    command = [sys.executable, "-W", "ignore", "-m", "tests.checkpoints.mutate", str(COUNT), str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=600)
    tally = json.loads(done.stdout)
    assert tally["failures"] == {}
    assert sum(tally["counts"].values()) == COUNT
