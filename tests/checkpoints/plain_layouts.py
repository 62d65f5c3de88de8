"""Rows 1, 24, 26, 27, 34 to 36: weights with nothing around them, whole modules, programs."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.utils.serialization import config as serialization

from tests.checkpoints.layout import Built, importable, opened, prefixed, weights


def saved(content: object, path: Path) -> Path:
    """The path of what torch.save wrote."""
    torch.save(content, path)
    return path


@opened(1, "state-dict-torchvision", "torchvision/resnet18")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(saved(net.state_dict(), folder / "resnet18-f37072fd.pth"), weights(net))


@opened(1, "state-dict-timm", "timm/convnext_atto")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(saved(net.state_dict(), folder / "weights.pth"), weights(net))


@opened(1, "state-dict-densenet", "torchvision/densenet121")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(saved(net.state_dict(), folder / "densenet.pth"), weights(net))


@opened(1, "state-dict-vgg", "timm/vgg11")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(saved(net.state_dict(), folder / "vgg.pt"), weights(net))


@opened(1, "state-dict-of-parameters", "torchvision/squeezenet1_1")
def _(folder: Path, net: nn.Module) -> Built:
    """`dict(named_parameters())`: a plain dictionary of nn.Parameter, not of tensors."""
    return Built(saved(dict(net.named_parameters()), folder / "weights.bin"), weights(net))


@opened(1, "state-dict-without-crc", "timm/lcnet_050")
def _(folder: Path, net: nn.Module) -> Built:
    serialization.save.compute_crc32 = False
    try:
        return Built(saved(net.state_dict(), folder / "weights.pth"), weights(net))
    finally:
        serialization.save.compute_crc32 = True


@opened(1, "state-dict-odd-tensors", "timm/tinynet_e")
def _(folder: Path, net: nn.Module) -> Built:
    """Strides, offsets and shared storages as they come; dtypes and values that a conversion would change."""
    net = net.to(memory_format=torch.channels_last)
    table = torch.randn(8, 6)
    odd = {
        "half": torch.randn(3).half(),
        "bfloat": torch.randn(3).bfloat16(),
        "double": torch.randn(2, 2).double() / 3,
        "small": torch.tensor([-0.0, 1e-42, -1e-45, 3.0]),
        "counts": torch.tensor([2**62 + 1, -1]),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "mask": torch.tensor([True, False]),
        "scalar": torch.tensor(1 / 3),
        "empty": torch.empty(0, 4),
        "transposed": table.T,
        "row": table[3],
        "strided": table[::2, 1::3],
        "tied": table,
    }
    content = net.state_dict() | odd
    expected = {name: tensor.detach().clone() for name, tensor in content.items()}
    return Built(saved(content, folder / "weights.pth"), expected)


@opened(1, "prefix-data-parallel", "torchvision/squeezenet1_1")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(saved(nn.DataParallel(net).state_dict(), folder / "weights.pth"), weights(net))


@opened(1, "prefix-compiled", "timm/lcnet_050")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(saved(torch.compile(net).state_dict(), folder / "weights.pth"), weights(net))  # type: ignore[attr-defined]


@opened(1, "prefix-nested", "timm/tinynet_e")
def _(folder: Path, net: nn.Module) -> Built:
    """`module._orig_mod.model.`"""
    wrapped = nn.DataParallel(torch.compile(nn.ModuleDict({"model": net})))  # type: ignore[arg-type]
    return Built(saved(wrapped.state_dict(), folder / "weights.pth"), weights(net))


@opened(1, "prefix-compiled-stage", "resnet10")
def _(folder: Path, net: nn.Module) -> Built:
    """`layer1._orig_mod.`: only a part was compiled."""
    expected = weights(net)
    net.layer1 = torch.compile(net.layer1)  # type: ignore[assignment]
    return Built(saved(net.state_dict(), folder / "weights.pth"), expected)


@opened(1, "prefix-checkpoint-wrapped", "timm/vit_tiny_patch16_224")
def _(folder: Path, net: nn.Module) -> Built:
    """Activation checkpointing hides its wrapper in state_dict, unless the names are read from the modules."""
    expected = weights(net)
    net.blocks = nn.Sequential(*(checkpoint_wrapper(block) for block in net.blocks))  # type: ignore[union-attr]
    content = OrderedDict((name, parameter.detach()) for name, parameter in net.named_parameters())
    assert any("_checkpoint_wrapped_module." in name for name in content)
    return Built(saved(content, folder / "weights.pth"), expected)


@opened(1, "prefix-fsdp", "timm/edgenext_xx_small")
def _(folder: Path, net: nn.Module) -> Built:
    """The names of a module whose root and first stage are wrapped by FSDP."""
    content = {
        "_fsdp_wrapped_module." + name.replace("stages.0.", "stages.0._fsdp_wrapped_module."): tensor
        for name, tensor in net.state_dict().items()
    }
    return Built(saved(content, folder / "weights.pth"), weights(net))


@opened(24, "whole-module", "torchvision/shufflenet_v2_x0_5")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(saved(net, folder / "model.pth"), weights(net))


@opened(24, "whole-module-data-parallel", "timm/regnetx_002")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(saved(nn.DataParallel(net), folder / "model.pth"), weights(net))


@opened(24, "whole-module-in-a-dictionary", "torchvision/mnasnet0_5")
def _(folder: Path, net: nn.Module) -> Built:
    return Built(saved({"epoch": 3, "model": net, "optimizer": None}, folder / "best.pt"), weights(net))


class _Classifier(nn.Module):
    """A user's class: tied weights, a buffer that is not saved, one that is, and a plain attribute."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.register_buffer("grid", torch.rand(4), persistent=False)
        self.register_buffer("mean", torch.rand(3))
        self.note = torch.rand(2)


@opened(24, "whole-module-unknown-class", "timm/lcnet_050")
def _(folder: Path, net: nn.Module) -> Built:
    """Of a module that nobody has any more."""
    model = _Classifier(net)
    with importable("my_project.models", _Classifier):
        path = saved(model, folder / "model.pth")
    return Built(path, weights(model))


@opened(26, "legacy-stream", "torchvision/squeezenet1_1")
def _(folder: Path, net: nn.Module) -> Built:
    path = folder / "squeezenet1_1-f364aa15.pth"
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False)
    return Built(path, weights(net))


@opened(26, "legacy-stream-in-a-dictionary", "torchvision/shufflenet_v2_x0_5")
def _(folder: Path, net: nn.Module) -> Built:
    path = folder / "checkpoint.pth.tar"
    content = {"epoch": 90, "state_dict": nn.DataParallel(net).state_dict(), "best_acc1": 71.2}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return Built(path, weights(net))


@opened(26, "legacy-stream-whole-module", "torchvision/mnasnet0_5")
def _(folder: Path, net: nn.Module) -> Built:
    path = folder / "model.pth"
    torch.save(net, path, _use_new_zipfile_serialization=False)
    return Built(path, weights(net))


@opened(27, "safetensors", "timm/efficientnet_lite0")
def _(folder: Path, net: nn.Module) -> Built:
    path = folder / "model.safetensors"
    safetensors.torch.save_file(net.state_dict(), path, metadata={"format": "pt"})
    return Built(path, weights(net))


@opened(27, "safetensors-bfloat16-compiled", "timm/mobilenetv3_small_050")
def _(folder: Path, net: nn.Module) -> Built:
    net, path = net.bfloat16(), folder / "model.safetensors"
    safetensors.torch.save_file(prefixed("_orig_mod.", net.state_dict()), path)
    return Built(path, weights(net))


@opened(27, "safetensors-tied", "timm/lcnet_050")
def _(folder: Path, net: nn.Module) -> Built:
    """Of two names for one tensor the file keeps one."""
    model, path = _Classifier(net), folder / "model.safetensors"
    safetensors.torch.save_model(model, str(path))
    expected = weights(model)
    del expected["second.weight"]
    return Built(path, expected)


@opened(34, "npz", "timm/vit_tiny_patch16_224")
def _(folder: Path, net: nn.Module) -> Built:
    path = folder / "weights.npz"
    np.savez(path, **_arrays(net.state_dict()))
    return Built(path, weights(net))


@opened(34, "npz-compressed", "timm/mobilenetv3_small_050")
def _(folder: Path, net: nn.Module) -> Built:
    path = folder / "weights.npz"
    np.savez_compressed(path, **_arrays(net.half().state_dict()))
    return Built(path, weights(net))


def _arrays(content: dict[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in content.items()}


@opened(35, "torchscript-traced", "torchvision/shufflenet_v2_x0_5")
def _(folder: Path, net: nn.Module) -> Built:
    path = folder / "model.pt"
    torch.jit.trace(net, torch.zeros(1, 3, 32, 32), check_trace=False).save(str(path))  # type: ignore[attr-defined]
    return Built(path, weights(net))


@opened(35, "torchscript-scripted", "torchvision/squeezenet1_1")
def _(folder: Path, net: nn.Module) -> Built:
    path = folder / "model.torchscript"
    torch.jit.script(net).save(str(path))
    return Built(path, weights(net))


@opened(36, "exported-program", "torchvision/shufflenet_v2_x0_5")
def _(folder: Path, net: nn.Module) -> Built:
    path = folder / "model.pt2"
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 32, 32),)), path)
    return Built(path, weights(net))
