"""Rows 12, 18 to 22 and 25: what training libraries write."""

import functools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.checkpoints.layout import Built, Weights, importable, opened, perturbed, prefixed, weights
from tests.checkpoints.nets import CLASSES
from tests.checkpoints.plain_layouts import saved


class Criterion(nn.Module):
    """A loss with state: the soft labels of every class, as in online label smoothing."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("supervise", torch.rand(CLASSES, CLASSES))
        self.register_buffer("idx_count", torch.ones(CLASSES))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, labels)


def write_lightning(folder: Path, net: nn.Module, attribute: str) -> Path:
    """One training step by a Trainer on a module that holds the network, a loss and accuracies with state."""
    lightning = pytest.importorskip("pytorch_lightning")
    from torchmetrics.classification import MulticlassAccuracy

    class Module(lightning.LightningModule):
        def __init__(
            self, criterion: nn.Module, optimizer: object, mean: np.ndarray, lr: float = 0.1
        ) -> None:
            super().__init__()
            self.save_hyperparameters()
            setattr(self, attribute, net)
            self.criterion = criterion
            self.train_accuracy, self.val_accuracy = (MulticlassAccuracy(CLASSES) for _ in range(2))
            for accuracy in (self.train_accuracy, self.val_accuracy):
                accuracy.persistent(True)

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            return self.criterion(getattr(self, attribute)(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=self.hparams["lr"])

    trainer = lightning.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    data = torch.utils.data.TensorDataset(torch.rand(4, 3, 32, 32), torch.arange(4))
    with importable("losses", Criterion):
        module = Module(Criterion(), functools.partial(torch.optim.SGD, momentum=0.9), np.array([0.4, 0.5]))
        trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=4))
        trainer.save_checkpoint(folder / "epoch=0-step=1.ckpt")
    return folder / "epoch=0-step=1.ckpt"


@opened(12, "lightning", "timm/efficientnet_b0")
def _(folder: Path, net: nn.Module) -> Built:
    path = write_lightning(folder, net, "model")
    return Built(path, weights(net))


@opened(12, "lightning-net", "timm/regnetx_002")
def _(folder: Path, net: nn.Module) -> Built:
    path = write_lightning(folder, net, "net")
    return Built(path, weights(net))


@opened(12, "lightning-backbone", "timm/ghostnet_100")
def _(folder: Path, net: nn.Module) -> Built:
    path = write_lightning(folder, net, "backbone")
    return Built(path, weights(net))


@opened(18, "vissl", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    """The trunk; a VISSL head has no name in the network."""
    model = {
        "trunk": prefixed("_feature_blocks.", net.state_dict()),
        "heads": {
            "0.projection_head.0.weight": torch.randn(8, 512),
            "0.prototypes0.weight": torch.randn(30, 8),
        },
    }
    content = {
        "phase_idx": 100,
        "iteration": 1000,
        "loss": {"data_iterator": None},
        "iteration_num": 1000,
        "classy_state_dict": {"train": True, "base_model": {"model": model, "meters": None}, "optimizer": {}},
    }
    return Built(saved(content, folder / "model_final_checkpoint_phase99.torch"), weights(net))


@opened(18, "vissl-model-state-dict", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    content = {"model_state_dict": prefixed("_feature_blocks.", net.state_dict())}
    return Built(saved(content, folder / "model.torch"), weights(net))


@opened(19, "open-clip", "clip_visual")
def _(folder: Path, net: nn.Module) -> Built:
    """The image tower; the text tower is no part of a classifier of images."""
    text = {
        "positional_embedding": torch.randn(7, 16),
        "text_projection": torch.randn(16, 16),
        "logit_scale": torch.tensor(4.6),
        "token_embedding.weight": torch.randn(30, 16),
        "transformer.resblocks.0.ln_1.weight": torch.randn(16),
        "ln_final.weight": torch.randn(16),
    }
    content = {
        "epoch": 32,
        "name": "ViT-B-32-laion",
        "state_dict": prefixed("module.", text | prefixed("visual.", net.state_dict())),
        "optimizer": {"state": {}, "param_groups": []},
        "scaler": {"scale": 65536.0},
    }
    return Built(saved(content, folder / "epoch_32.pt"), weights(net))


class Time:
    """As in Composer: a value with a unit, pickled as an object."""

    def __init__(self, value: int, unit: str) -> None:
        self.value, self.unit = value, unit


@opened(20, "composer", "timm/tinynet_e")
def _(folder: Path, net: nn.Module) -> Built:
    with importable("composer.core.time", Time):
        state = {
            "model": prefixed("module.", net.state_dict()),
            "optimizers": {"DecoupledSGDW": {"state": {}, "param_groups": []}},
            "timestamp": Time(90, "ep"),
            "integrations": {},
            "run_name": "1672531200-brave-otter",
        }
        rng = [{"python": (3, (1, 2), None), "torch": torch.get_rng_state()}]
        path = saved({"state": state, "rng": rng}, folder / "ep90-ba5004-rank0.pt")
    return Built(path, weights(net))


def write_robustness(folder: Path, net: nn.Module, key: str) -> Path:
    """A classifier, the same one inside its attacker, and the mean and deviation of its images twice."""
    normalizer = {"new_mean": torch.rand(3, 1, 1), "new_std": torch.rand(3, 1, 1)}
    content = {
        **prefixed("module.normalizer.", normalizer),
        **prefixed("module.model.", net.state_dict()),
        **prefixed("module.attacker.normalize.", normalizer),
        **prefixed("module.attacker.model.", net.state_dict()),
    }
    with importable("dill._dill", DillType):
        everything = {key: content, "optimizer": {}, "schedule": DillType(), "epoch": 90, "amp": None}
        return saved(everything, folder / "checkpoint.pt.best")


class DillType:
    """Stands for what dill pickles by names of its own."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (DillType, ())


@opened(21, "robustness", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(write_robustness(folder, net, "model"), weights(net))


@opened(21, "robustness-state-dict", "torchvision/shufflenet_v2_x0_5")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(write_robustness(folder, net, "state_dict"), weights(net))


def fastai_model(net: nn.Module) -> nn.Module:
    """A body and a head in a sequence, as vision_learner cuts it."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(512), nn.Linear(512, CLASSES))
    return nn.Sequential(nn.Sequential(*list(net.children())[:-2]), head)


@opened(22, "fastai-save", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    model = fastai_model(net)
    content = {"model": model.state_dict(), "opt": {"state": [], "hypers": [{"lr": 1e-3}]}}
    return Built(saved(content, folder / "stage-1.pth"), weights(model))


class Learner:
    """As in fastai: an object that holds the model and everything else."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.loss_func, self.dls = model, nn.CrossEntropyLoss(), None
        self.opt_func = functools.partial(torch.optim.Adam, lr=1e-3)
        self.path = Path("models")


@opened(22, "fastai-export", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    model = fastai_model(net)
    with importable("fastai.learner", Learner):
        return Built(saved(Learner(model), folder / "export.pkl"), weights(model))


def detectron2_weights(net: nn.Module) -> Weights:
    """By the names of Detectron2's conversion of torchvision's ResNet."""
    renamed = {}
    for name, tensor in net.state_dict().items():
        name = name if "layer" in name else f"stem.{name}"
        for stage in (1, 2, 3, 4):
            name = name.replace(f"layer{stage}", f"res{stage + 1}").replace(f"bn{stage}", f"conv{stage}.norm")
        renamed[name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")] = tensor
    return renamed


def write_detectron2(path: Path, content: Weights, protocol: int) -> Path:
    arrays = {name: tensor.numpy() for name, tensor in content.items()}
    everything = {"model": arrays, "__author__": "torchvision", "matching_heuristics": True}
    with path.open("wb") as file:
        pickle.dump(everything, file, protocol=protocol)
    return path


@opened(25, "detectron2", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    content = detectron2_weights(net)
    return Built(write_detectron2(folder / "R-18.pkl", content, pickle.DEFAULT_PROTOCOL), content)


@opened(25, "detectron2-protocol-2", "torchvision/shufflenet_v2_x0_5")
def _(folder: Path, net: nn.Module) -> Built:
    """Bytes of arrays travel as latin-1 text in the protocol of Python 2."""
    content = perturbed(net.state_dict())
    return Built(write_detectron2(folder / "model_final_f10217.pkl", content, 2), content)
