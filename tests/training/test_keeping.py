"""Tests for what a state says of how far a run was: it is read as numbers of known fields, or refused."""

import json
import math
from dataclasses import asdict

import pytest

from maxsup_analysis.errors import InputError
from maxsup_analysis.stated import Stated
from maxsup_analysis.training.history import Epoch, Tally
from maxsup_analysis.training.keeping import Progress, progress_in

EPOCH = Epoch(1, 0.5, 0.25, None, 0.75, None, 0.1, 0.05, 3.5)
TALLY = Tally(1.5, 2.0, 2.0, 64, 1, 0.25)
TREE = {"epoch": 1, "step": 1, "history": [asdict(EPOCH)], "tally": TALLY.to_plain()}


def test_progress_is_read_as_it_was_written():
    assert progress_in(Stated(json.loads(json.dumps(TREE)), "x.state")) == Progress(1, 1, (EPOCH,), TALLY)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "1"}, {"epoch": -1}, {"epoch": True}, {"step": 10**30}, {"step": None}, {"history": "x"},
        {"history": [1]}, {"history": [{**asdict(EPOCH), "loss": "0.5"}]}, {"history": [{"__class__": 1}]},
        {"history": [{**asdict(EPOCH), "accuracy": math.nan}]}, {"tally": {"count": 1.5}}, {"tally": {"count": None}},
    ],
)  # fmt: skip
def test_anything_else_is_one_line(change: dict):
    with pytest.raises(InputError, match=r"^x.state"):
        progress_in(Stated({**TREE, **change}, "x.state"))
