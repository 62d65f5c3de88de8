"""Tests for several processes: they take the steps that one alone takes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.errors import InputError
from maxsup_analysis.training import TrainingPlan, train
from maxsup_analysis.training.parallel import Team
from tests.training.softmax_regression import write_network

CPU = torch.device("cpu")


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("B", [1, 2, 7])
def test_shares_are_of_one_size_and_count_every_sample_once(world: int, B: int):
    positions = torch.randperm(100)[:B]
    shares = [Team(CPU, rank, world).share(positions) for rank in range(world)]
    assert len({len(share.positions) for share in shares}) == 1 and len(shares[0].positions) == -(-B // world)
    counted = torch.cat([share.positions[share.counted] for share in shares])
    assert sorted(counted.tolist()) == sorted(positions.tolist())


def test_two_processes_train_as_one(tmp_path: Path):
    """Batches of 37 do not divide by two, the last one of an epoch has 26 samples, parts of three are uneven."""
    plan = TrainingPlan(
        model=f"{write_network(tmp_path)}:convolution", train_samples=100, batch_size=37, accumulate=3, epochs=2,
        loss="ols", ema=0.9, test_split="test", learning_rate=0.05, optimiser="adamw", weight_decay=0.01,
        device="cpu",
    )  # fmt: skip
    expected = train(plan, tmp_path / "one.pt")
    flags = (
        f"--model {plan.model} --train-samples 100 -b 37 --accumulate 3 --epochs 2 --loss ols --ema 0.9 "
        "--test-split test --lr 0.05 --optimiser adamw --weight-decay 0.01 --device cpu"
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "maxsup_analysis", "train", "-o", str(tmp_path / "two.pt"), *flags.split()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "two.pt")]
    for use_ema in (False, True):
        one, two = (
            open_checkpoint(tmp_path / name, use_ema=use_ema).state_dict for name in ("one.pt", "two.pt")
        )
        assert all(torch.allclose(one[name], two[name], rtol=0, atol=1e-6) for name in one)
    history = torch.load(tmp_path / "two.pt", weights_only=True)["metadata"]["history"]
    for epoch, told in zip(expected.history, history, strict=True):
        assert told["loss"] == pytest.approx(epoch.loss, rel=1e-5)
        assert (told["accuracy"], told["test_accuracy"]) == (epoch.accuracy, epoch.test_accuracy)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".py") == ["one.pt", "two.pt"]


def test_alone_nothing_is_wrapped():
    module = torch.nn.Linear(2, 2)
    alone = Team(CPU)
    assert alone.parallel(module, sync_batchnorm=True) is module and alone.summed([3, 4]) == [3, 4]
    assert alone.leads and not replace(alone, rank=1, world=2).leads


def test_statistics_of_all_processes_need_cuda():
    with pytest.raises(InputError, match="expected CUDA devices for sync_batchnorm, got cpu; leave it out"):
        Team(CPU, 0, 2).parallel(torch.nn.BatchNorm2d(3), sync_batchnorm=True)
