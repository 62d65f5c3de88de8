"""Rows 2, 3 and 5 as the authors of MaxSup release them."""

import json
from pathlib import Path

import torch
from torch import nn

from tests.checkpoints.layout import Built, opened, prefixed, weights
from tests.checkpoints.plain_layouts import saved
from tests.checkpoints.training_layouts import write_deit

# The strided convolutions of a resnet50 that have at least 16 input channels.
BLURRED = {f"layer{stage}.0.{place}" for stage in (2, 3, 4) for place in ("conv2", "downsample.0")}


@opened(2, "maxsup-ffcv", "blurpool_resnet50")
def _(folder: Path, net: nn.Module) -> Built:
    expected = weights(net)
    assert {name.removesuffix(".blur_filter") for name in expected if "blur" in name} == BLURRED
    assert {f"{name}.conv.weight" for name in BLURRED} <= set(expected)
    params = {
        "model.arch": "resnet50",
        "model.pretrained": 0,
        "training.use_blurpool": 1,
        "training.label_smoothing": 0.1,
        "training.epochs": 90,
        "data.val_dataset": "val_400_0.10_90.ffcv",
        "data.num_workers": 8,
        "validation.batch_size": 512,
        "validation.resolution": 256,
    }
    (folder / "params.json").write_text(json.dumps(params))
    return Built(saved(nn.DataParallel(net).state_dict(), folder / "final_weights.pt"), expected)


@opened(3, "maxsup-lightning", "blurpool_resnet50")
def _(folder: Path, net: nn.Module) -> Built:
    """Beside the network: the class means of online label smoothing and the states of two accuracies."""
    counts = {"tp": torch.tensor(3), "fp": torch.tensor(2), "tn": torch.tensor(9), "fn": torch.tensor(1)}
    content = {
        "epoch": 89,
        "global_step": 112590,
        "pytorch-lightning_version": "2.0.9",
        "state_dict": {
            **prefixed("model.", net.state_dict()),
            "criterion.supervise": torch.rand(10, 10),
            "criterion.idx_count": torch.rand(10),
            **prefixed("train_accuracy.", counts),
            **prefixed("val_accuracy.", counts),
        },
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"completed": 90}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_acc'}": {"best_model_score": torch.tensor(0.77)}},
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"arch": "resnet50", "label_smoothing": 0.1, "use_blurpool": True},
    }
    return Built(saved(content, folder / "epoch=89-val_acc=0.77.ckpt"), weights(net))


@opened(5, "maxsup-deit", "timm/deit_small_patch16_224")
def _(folder: Path, net: nn.Module) -> Built:
    path, _ = write_deit(folder, net, "deit_small_patch16_224", nb_classes=10)
    return Built(path, weights(net), architecture="timm/deit_small_patch16_224", open_with={"use_ema": False})


@opened(5, "maxsup-deit-no-qkv-bias", "deit_small_without_qkv_bias")
def _(folder: Path, net: nn.Module) -> Built:
    """The name in the file is that of a network whose weights have `qkv.bias`."""
    expected = weights(net)
    assert not any(name.endswith("qkv.bias") for name in expected)
    path, _ = write_deit(folder, net, "deit_small_patch16_224", nb_classes=10)
    return Built(path, expected, open_with={"use_ema": False})
