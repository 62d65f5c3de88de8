"""Rows 4 to 11, 14 to 17 and 23: what training scripts write."""

import json
from argparse import Namespace
from pathlib import Path

import torch
from timm.utils.checkpoint_saver import CheckpointSaver
from timm.utils.cuda import NativeScaler
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel

from tests.checkpoints.layout import Built, Weights, importable, opened, perturbed, prefixed, stepped, weights
from tests.checkpoints.nets import CLASSES
from tests.checkpoints.plain_layouts import saved


@opened(2, "ffcv-imagenet", "torchvision/mnasnet0_5")
def _(folder: Path, net: nn.Module) -> Built:
    (folder / "params.json").write_text(
        json.dumps({"model.arch": "mnasnet0_5", "training.use_blurpool": 0, "training.label_smoothing": 0.0})
    )
    path = saved(nn.DataParallel(net).state_dict(), folder / "final_weights.pt")
    return Built(path, weights(net), architecture="torchvision/mnasnet0_5")


def write_references(folder: Path, net: nn.Module) -> tuple[Path, Weights]:
    """The file of torchvision's classification script, and the average in it."""
    average = AveragedModel(net, avg_fn=lambda old, new, _: 0.75 * new, use_buffers=True)
    optimizer = stepped(net)
    average.update_parameters(net)
    average.update_parameters(net)
    content = {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 90).state_dict(),
        "epoch": 89,
        "args": Namespace(model="mobilenet_v2", label_smoothing=0.1, val_resize_size=256, weights=None),
        "model_ema": average.state_dict(),
        "scaler": {"scale": 65536.0, "growth_factor": 2.0},
    }
    return saved(content, folder / "model_89.pth"), weights(average.module)


@opened(4, "torchvision-references", "torchvision/mobilenet_v2")
def _(folder: Path, net: nn.Module) -> Built:
    path, _ = write_references(folder, net)
    return Built(path, weights(net), architecture="torchvision/mobilenet_v2", open_with={"use_ema": False})


@opened(4, "torchvision-references-ema", "torchvision/mobilenet_v2")
def _(folder: Path, net: nn.Module) -> Built:
    """AveragedModel: `module.` and `n_averaged`."""
    path, average = write_references(folder, net)
    return Built(path, average, architecture="torchvision/mobilenet_v2", open_with={"use_ema": True})


def write_deit(folder: Path, net: nn.Module, model: str, **arguments: object) -> tuple[Path, Weights]:
    """The file of DeiT's main.py, and the average in it."""
    optimizer = torch.optim.AdamW(net.parameters())
    average = perturbed(net.state_dict())
    content = {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": {"t_in_epochs": True, "base_values": [5e-4, 5e-4], "metric": None},
        "epoch": 299,
        "model_ema": average,
        "scaler": NativeScaler(device="cpu").state_dict(),
        "args": Namespace(
            model=model,
            input_size=224,
            data_set="IMNET",
            smoothing=0.1,
            drop_path=0.1,
            output_dir=folder,
            **arguments,
        ),
    }
    return saved(content, folder / "checkpoint.pth"), average


@opened(5, "deit", "timm/deit_tiny_patch16_224")
def _(folder: Path, net: nn.Module) -> Built:
    path, _ = write_deit(folder, net, "deit_tiny_patch16_224", nb_classes=CLASSES)
    return Built(path, weights(net), architecture="timm/deit_tiny_patch16_224", open_with={"use_ema": False})


@opened(5, "deit-ema", "timm/deit_tiny_patch16_224")
def _(folder: Path, net: nn.Module) -> Built:
    path, average = write_deit(folder, net, "deit_tiny_patch16_224", nb_classes=CLASSES)
    return Built(path, average, architecture="timm/deit_tiny_patch16_224", open_with={"use_ema": True})


@opened(5, "deit-distilled", "timm/deit_tiny_distilled_patch16_224")
def _(folder: Path, net: nn.Module) -> Built:
    """Two heads: `head` and `head_dist`."""
    name = "deit_tiny_distilled_patch16_224"
    path, _ = write_deit(folder, net, name, nb_classes=CLASSES, distillation_type="hard")
    return Built(path, weights(net), architecture=f"timm/{name}", open_with={"weights_key": "model"})


@opened(6, "mae", "mae_vit")
def _(folder: Path, net: nn.Module) -> Built:
    content = {
        "model": net.state_dict(),
        "optimizer": stepped(nn.Linear(2, 2)).state_dict(),
        "epoch": 99,
        "scaler": {"scale": 65536.0},
        "args": Namespace(model="vit_tiny_patch16", nb_classes=CLASSES, global_pool=True, smoothing=0.1),
    }
    return Built(saved(content, folder / "checkpoint-99.pth"), weights(net))


CONVNEXT_NAMES = (
    ("head.norm.", "norm."),
    ("head.fc.", "head."),
    ("stem.0.", "downsample_layers.0.0."),
    ("stem.1.", "downsample_layers.0.1."),
    (".blocks.", "."),
    (".conv_dw.", ".dwconv."),
    (".mlp.fc1.", ".pwconv1."),
    (".mlp.fc2.", ".pwconv2."),
)


def convnext_weights(net: nn.Module) -> Weights:
    """The weights by the names that the ConvNeXt repository gives them."""
    renamed = {}
    for name, tensor in net.state_dict().items():
        for theirs, ours in CONVNEXT_NAMES:
            name = name.replace(theirs, ours)
        if ".downsample." in name:
            _, stage, _, rest = name.split(".", 3)
            name = f"downsample_layers.{stage}.{rest}"
        renamed[name] = tensor
    return renamed


def write_convnext(folder: Path, content: Weights) -> Path:
    everything = {
        "model": content,
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 299,
        "scaler": {"scale": 65536.0},
        "args": Namespace(model="convnext_atto", nb_classes=CLASSES, layer_scale_init_value=1e-6),
        "model_ema": perturbed(content),
    }
    return saved(everything, folder / "checkpoint-best.pth")


@opened(7, "convnext", "timm/convnext_atto")
def _(folder: Path, net: nn.Module) -> Built:
    content = convnext_weights(net)
    return Built(write_convnext(folder, content), content, open_with={"use_ema": False})


@opened(7, "convnext-ema", "timm/convnext_atto")
def _(folder: Path, net: nn.Module) -> Built:
    content = convnext_weights(net)
    return Built(write_convnext(folder, content), perturbed(content), open_with={"use_ema": True})


class CfgNode(dict):
    """As in yacs: a dictionary whose attributes say whether it may change."""

    def __init__(self, content: dict[str, object]) -> None:
        super().__init__(content)
        self.__dict__.update(__immutable__=True, __deprecated_keys__=set(), __new_allowed__=False)


def swin_weights(net: nn.Module) -> Weights:
    """By the names of the Swin repository: merging ends a stage, and index buffers are in the file."""
    indices = {n: b for n, b in net.named_buffers() if "relative_position_index" in n or "attn_mask" in n}
    renamed = {}
    for name, tensor in (net.state_dict() | indices).items():
        if ".downsample." in name:
            _, stage, rest = name.split(".", 2)
            name = f"layers.{int(stage) - 1}.{rest}"
        renamed[name.replace("head.fc.", "head.")] = tensor
    return renamed


@opened(8, "swin", "timm/swin_tiny_patch4_window7_224")
def _(folder: Path, net: nn.Module) -> Built:
    content = swin_weights(net)
    with importable("yacs.config", CfgNode):
        model = CfgNode({"TYPE": "swin", "NUM_CLASSES": CLASSES, "LABEL_SMOOTHING": 0.1})
        everything = {
            "model": content,
            "optimizer": {"state": {}, "param_groups": []},
            "lr_scheduler": {"base_values": [1e-3]},
            "max_accuracy": 81.2,
            "scaler": {},
            "epoch": 299,
            "config": CfgNode({"MODEL": model, "OUTPUT": str(folder.name), "BASE": [""]}),
        }
        path = saved(everything, folder / "ckpt_epoch_299.pth")
    return Built(path, content)


def write_timm(folder: Path, net: nn.Module) -> tuple[Path, Weights]:
    """The best checkpoint of timm's train.py, and the average in it."""
    model = "mobilenetv3_small_050"
    average = ModelEmaV3(net, decay=0.9)
    optimizer = stepped(net)
    average.update(net)
    saver = CheckpointSaver(
        nn.DataParallel(net),
        optimizer,
        args=Namespace(model=model, num_classes=CLASSES, smoothing=0.1, img_size=None, mean=None),
        model_ema=average,
        amp_scaler=NativeScaler(device="cpu"),
        checkpoint_dir=str(folder),
        recovery_dir=str(folder),
    )
    saver.save_checkpoint(7, metric=71.5)
    (folder / "args.yaml").write_text(f"model: {model}\nnum_classes: {CLASSES}\nsmoothing: 0.1\n")
    (folder / "summary.csv").write_text("epoch,train_loss,eval_loss,eval_top1\n7,1.2,1.3,71.5\n")
    return folder / "model_best.pth.tar", weights(average.module)


@opened(9, "timm", "timm/mobilenetv3_small_050")
def _(folder: Path, net: nn.Module) -> Built:
    path, _ = write_timm(folder, net)
    return Built(path, weights(net), architecture="timm/mobilenetv3_small_050", open_with={"use_ema": False})


@opened(9, "timm-ema", "timm/mobilenetv3_small_050")
def _(folder: Path, net: nn.Module) -> Built:
    path, average = write_timm(folder, net)
    return Built(path, average, architecture="timm/mobilenetv3_small_050", open_with={"use_ema": True})


@opened(10, "pytorch-examples", "torchvision/resnet18")
def _(folder: Path, net: nn.Module) -> Built:
    content = {
        "epoch": 90,
        "arch": "resnet18",
        "state_dict": nn.DataParallel(net).state_dict(),
        "best_acc1": torch.tensor(69.8),
        "optimizer": {"state": {}, "param_groups": []},
        "scheduler": {"step_size": 30, "gamma": 0.1, "last_epoch": 90},
    }
    return Built(saved(content, folder / "model_best.pth.tar"), weights(net))


@opened(10, "pytorch-examples-alexnet", "alexnet")
def _(folder: Path, net: nn.Module) -> Built:
    """Only the features are parallel: `features.module.`"""
    expected = weights(net)
    net.features = nn.DataParallel(net.features)  # type: ignore[arg-type]
    content = {
        "epoch": 90,
        "arch": "alexnet",
        "state_dict": net.state_dict(),
        "best_acc1": 56.5,
        "optimizer": {},
    }
    return Built(saved(content, folder / "checkpoint.pth.tar"), expected)


@opened(11, "tutorial", "torchvision/regnet_y_400mf")
def _(folder: Path, net: nn.Module) -> Built:
    content = {
        "epoch": 4,
        "model_state_dict": net.state_dict(),
        "optimizer_state_dict": stepped(nn.Linear(2, 2)).state_dict(),
        "loss": torch.tensor(0.4, requires_grad=True),
    }
    return Built(saved(content, folder / "model.pt"), weights(net))


@opened(11, "tutorial-counted-operations", "torchvision/shufflenet_v2_x0_5")
def _(folder: Path, net: nn.Module) -> Built:
    """thop leaves `total_ops` and `total_params` in every module that it counted."""
    expected = weights(net)
    for module in net.modules():
        module.register_buffer("total_ops", torch.zeros(1, dtype=torch.float64))
        module.register_buffer("total_params", torch.ones(1, dtype=torch.float64))
    content = {"epoch": 4, "model_state_dict": net.state_dict(), "optimizer_state_dict": {}, "loss": 0.4}
    return Built(saved(content, folder / "model.pt"), expected)


def write_mmengine(folder: Path, net: nn.Module) -> Path:
    """The file of mmpretrain's runner with EMAHook: torchvision's names under `backbone.` and `head.fc.`"""
    content = {
        ("head." if name.startswith("fc.") else "backbone.") + name: tensor
        for name, tensor in net.state_dict().items()
    }
    everything = {
        "meta": {
            "epoch": 100,
            "iter": 125100,
            "experiment_name": "resnet18_8xb32_in1k",
            "dataset_meta": {"classes": [f"class {i}" for i in range(CLASSES)]},
        },
        "state_dict": content,
        "message_hub": {"log_scalars": {}, "runtime_info": {"epoch": 100}, "resumed_keys": {}},
        "optimizer": {"state": {}, "param_groups": []},
        "param_schedulers": [{"by_epoch": True, "gamma": 0.1}],
        "ema_state_dict": {"steps": torch.tensor(9)} | prefixed("module.", perturbed(content)),
    }
    return saved(everything, folder / "epoch_100.pth")


@opened(14, "mmengine", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(write_mmengine(folder, net), weights(net), open_with={"weights_key": "state_dict"})


@opened(14, "mmengine-ema", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    """By its key: EMAHook swaps the two when it writes, so the averaged weights are in `state_dict`."""
    return Built(
        write_mmengine(folder, net), perturbed(weights(net)), open_with={"weights_key": "ema_state_dict"}
    )


def dino_head() -> Weights:
    """The projection head of DINO, whose last layer is weight-normalised."""
    head = nn.Module()
    head.mlp = nn.Sequential(nn.Linear(192, 16), nn.GELU(), nn.Linear(16, 8))
    head.last_layer = nn.utils.weight_norm(nn.Linear(8, 32, bias=False))
    return prefixed("head.", head.state_dict())


@opened(15, "dino", "vit_without_head")
def _(folder: Path, net: nn.Module) -> Built:
    """The backbone of the teacher; its projection head is no classifier and belongs to no network by name."""
    student = prefixed("backbone.", perturbed(net.state_dict())) | dino_head()
    content = {
        "student": prefixed("module.", student),
        "teacher": prefixed("backbone.", net.state_dict()) | dino_head(),
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 100,
        "args": Namespace(arch="vit_tiny", patch_size=16, out_dim=32),
        "dino_loss": {"center": torch.zeros(1, 32)},
        "fp16_scaler": {"scale": 65536.0},
    }
    return Built(saved(content, folder / "checkpoint.pth"), weights(net))


@opened(16, "dino-linear-probe", "linear_probe")
def _(folder: Path, net: nn.Module) -> Built:
    """The head alone."""
    content = {
        "epoch": 100,
        "state_dict": prefixed("module.", net.state_dict()),
        "optimizer": stepped(net).state_dict(),
        "scheduler": {"T_max": 100, "last_epoch": 100},
        "best_acc": 71.3,
    }
    return Built(saved(content, folder / "checkpoint.pth.tar"), weights(net))


@opened(16, "moco-linear-probe", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    content = {
        "epoch": 100,
        "arch": "resnet18",
        "state_dict": nn.DataParallel(net).state_dict(),
        "best_acc1": 60.1,
    }
    return Built(saved(content | {"optimizer": {}}, folder / "model_best.pth.tar"), weights(net))


@opened(17, "moco-v2", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    """The query encoder, not the momentum encoder, nor the queue."""
    content = {
        **prefixed("module.encoder_q.", net.state_dict()),
        **prefixed("module.encoder_k.", perturbed(net.state_dict())),
        "module.queue": torch.randn(CLASSES, 64),
        "module.queue_ptr": torch.tensor([32]),
    }
    everything = {"epoch": 200, "arch": "resnet18", "state_dict": content, "optimizer": {}}
    return Built(saved(everything, folder / "checkpoint_0199.pth.tar"), weights(net))


@opened(17, "moco-v3", "timm/vit_tiny_patch16_224")
def _(folder: Path, net: nn.Module) -> Built:
    content = {
        **prefixed("module.base_encoder.", net.state_dict()),
        **prefixed("module.momentum_encoder.", perturbed(net.state_dict())),
        **prefixed(
            "module.predictor.", {"0.weight": torch.randn(8, CLASSES), "3.weight": torch.randn(CLASSES, 8)}
        ),
    }
    everything = {"epoch": 300, "arch": "vit_tiny", "state_dict": content, "optimizer": {}, "scaler": {}}
    return Built(saved(everything, folder / "checkpoint_0299.pth.tar"), weights(net))


@opened(23, "cifar-zoo", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    """By the names of pytorch-cifar: `shortcut` and `linear`."""
    renamed = {
        name.replace("downsample.", "shortcut.").replace("fc.", "linear."): tensor
        for name, tensor in net.state_dict().items()
    }
    content = {"net": prefixed("module.", renamed), "acc": 95.4, "epoch": 199}
    return Built(saved(content, folder / "ckpt.pth"), renamed)
