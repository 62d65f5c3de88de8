"""Tests for files with weights and their average over training: which is which, and said."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.errors import InputError

Weights = dict[str, Tensor]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.Linear(4, 3))


def averaged() -> nn.Sequential:
    """Other weights of the same shapes."""
    made = net()
    for parameter in made.parameters():
        parameter.data *= 0.5
    return made


class EMA(nn.Module):
    """What ema-pytorch's EMA registers, in its order."""

    def __init__(self, model: nn.Module, average: nn.Module, *, include_online_model: bool) -> None:
        super().__init__()
        if include_online_model:
            self.online_model = model
        self.ema_model = average
        self.register_buffer("initted", torch.tensor(True))
        self.register_buffer("step", torch.tensor(100))


def of_lightning(folder: Path, callback: str) -> tuple[Path, Weights, Weights]:
    """Two steps under a callback of Lightning that takes an average: the file, the weights, their average."""
    lightning = pytest.importorskip("pytorch_lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = net()

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            return self.model(batch[0]).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.5)

    averaging = getattr(lightning.callbacks, callback)()
    data = torch.utils.data.TensorDataset(torch.rand(12, 3, 2, 2))
    path, module = folder / "epoch=0.ckpt", Module()
    kept = lightning.callbacks.ModelCheckpoint(folder, filename="kept", every_n_train_steps=2)
    trainer = lightning.Trainer(
        max_steps=2, accelerator="cpu", logger=False, callbacks=[averaging, kept], default_root_dir=folder,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=4))
    path = folder / "kept.ckpt"
    content = torch.load(path, weights_only=True)
    return path, unprefixed(content["current_model_state"]), unprefixed(content["state_dict"])


def unprefixed(content: Weights) -> Weights:
    return {name.removeprefix("model."): tensor for name, tensor in content.items()}


def same(found: Weights, expected: Weights) -> bool:
    return set(found) == set(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("callback", ["EMAWeightAveraging", "WeightAveraging"])
def test_lightning_writes_the_average_where_others_write_the_weights(tmp_path: Path, callback: str):
    path, plain, average = of_lightning(tmp_path, callback)
    assert not same(plain, average)
    by_default = open_checkpoint(path)
    # Its trainer evaluates the average.
    assert by_default.inspection.weights.ema and same(by_default.state_dict, average)
    assert any("the averaged (EMA) ones are used" in line for line in by_default.inspection.warnings)
    assert same(open_checkpoint(path, use_ema=True).state_dict, average)
    assert same(open_checkpoint(path, use_ema=False).state_dict, plain)


@pytest.mark.parametrize("at", ["top", "under model"])
def test_ema_pytorch_keeps_both_in_one_state_dict(tmp_path: Path, at: str):
    plain, average = net(), averaged()
    content = EMA(plain, average, include_online_model=True).state_dict()
    torch.save(content if at == "top" else {"model": content, "step": 3}, tmp_path / "both.pt")
    found = open_checkpoint(tmp_path / "both.pt")
    assert same(found.state_dict, plain.state_dict()) and not found.inspection.weights.ema
    assert any("plain and averaged (EMA)" in line for line in found.inspection.warnings)
    assert same(open_checkpoint(tmp_path / "both.pt", use_ema=True).state_dict, average.state_dict())
    key = open_checkpoint(tmp_path / "both.pt", weights_key="ema_model")
    assert same(key.state_dict, average.state_dict())


def test_an_average_alone_is_told_as_one(tmp_path: Path):
    average = net()
    torch.save(EMA(net(), average, include_online_model=False).state_dict(), tmp_path / "ema.pt")
    averaged = AveragedModel(average)
    torch.save(averaged.state_dict(), tmp_path / "swa.pt")
    for name in ("ema.pt", "swa.pt"):
        found = open_checkpoint(tmp_path / name)
        assert found.inspection.weights.ema and same(found.state_dict, average.state_dict())
        assert "averaged, EMA" in found.inspection.to_text()
        with pytest.raises(InputError, match=r"averaged .EMA. weights only.*leave out --no-use-ema"):
            open_checkpoint(tmp_path / name, use_ema=False)


def test_an_average_beside_the_network_in_one_module(tmp_path: Path):
    """As a LightningModule with `self.model` and `self.ema_model` has it."""
    plain, average = net(), averaged()
    content = {f"model.{k}": v for k, v in plain.state_dict().items()}
    content |= {f"ema_model.module.{k}": v for k, v in average.state_dict().items()}
    torch.save({"state_dict": content, "pytorch-lightning_version": "2.6.0"}, tmp_path / "m.ckpt")
    assert same(open_checkpoint(tmp_path / "m.ckpt").state_dict, plain.state_dict())
    assert same(open_checkpoint(tmp_path / "m.ckpt", use_ema=True).state_dict, average.state_dict())


def test_the_average_that_lightning_keeps_with_its_callbacks(tmp_path: Path):
    plain, average = net(), averaged()
    prefixed = [{f"model.{k}": v for k, v in one.state_dict().items()} for one in (plain, average)]
    callbacks = {"StochasticWeightAveraging": {"n_averaged": 3, "average_model_state": prefixed[1]}}
    content = {"state_dict": prefixed[0], "callbacks": callbacks, "pytorch-lightning_version": "2.6.0"}
    torch.save(content, tmp_path / "swa.ckpt")
    found = open_checkpoint(tmp_path / "swa.ckpt")
    assert same(found.state_dict, plain.state_dict())
    assert any("--use-ema takes the others" in line for line in found.inspection.warnings)
    assert same(open_checkpoint(tmp_path / "swa.ckpt", use_ema=True).state_dict, average.state_dict())


@pytest.mark.parametrize(
    "place", ["state_dict_swa", "EMA", "shadow", "model_ema2", "ema.shadow", "swa.module"]
)
@pytest.mark.parametrize("alone", [True, False])
def test_places_that_are_called_as_averages(tmp_path: Path, place: str, alone: bool):
    plain, average = net(), averaged()
    first, _, second = place.partition(".")
    content = {first: {second: average.state_dict()} if second else average.state_dict()}
    torch.save(content if alone else {"model": plain.state_dict(), **content}, tmp_path / "a.pt")
    found = open_checkpoint(tmp_path / "a.pt")
    assert found.inspection.weights.ema == alone
    assert same(found.state_dict, average.state_dict() if alone else plain.state_dict())
    assert same(open_checkpoint(tmp_path / "a.pt", use_ema=True).state_dict, average.state_dict())
    assert alone or any("plain and averaged (EMA)" in line for line in found.inspection.warnings)
