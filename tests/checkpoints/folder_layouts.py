"""Rows 13 and 28 to 33: weights in a folder, with files that say how they belong together."""

import json
import random
from pathlib import Path

import numpy as np
import safetensors.torch
import timm.models
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed

from tests.checkpoints.layout import Built, Weights, opened, perturbed, prefixed, refused, stepped, weights
from tests.checkpoints.nets import network
from tests.checkpoints.plain_layouts import saved


@opened(13, "lightning-fsdp", "timm/regnetx_002")
def _(folder: Path, net: nn.Module) -> Built:
    """Sharded weights and optimiser by the names of Lightning's FSDP strategy; the rest in `meta.pt`."""
    path = folder / "epoch=0-step=1.ckpt"
    state = {
        "model": prefixed("model.", net.state_dict()),
        "optimizer_0": {"state": {"model.stem.conv.weight": {"exp_avg": torch.randn(4, 3)}}},
    }
    save_distributed(state, checkpoint_id=path, no_dist=True)
    meta = {
        "epoch": 0,
        "global_step": 1,
        "pytorch-lightning_version": "2.6.0",
        "hyper_parameters": {"lr": 0.1},
    }
    saved(meta, path / "meta.pt")
    return Built(path, weights(net))


@opened(28, "timm-hub", "timm/edgenext_xx_small")
def _(folder: Path, net: nn.Module) -> Built:
    timm.models.save_for_hf(net, str(folder / "hub"), safe_serialization=True)
    return Built(folder / "hub", weights(net), architecture="timm/edgenext_xx_small")


@opened(28, "timm-hub-bin", "timm/levit_128s")
def _(folder: Path, net: nn.Module) -> Built:
    timm.models.save_for_hf(net, str(folder / "hub"), safe_serialization=False)
    return Built(folder / "hub", weights(net), architecture="timm/levit_128s")


VIT_NAMES = (
    (".layers.", ".encoder.layer."),
    (".attention.q_proj.", ".attention.attention.query."),
    (".attention.k_proj.", ".attention.attention.key."),
    (".attention.v_proj.", ".attention.attention.value."),
    (".attention.o_proj.", ".attention.output.dense."),
    (".mlp.fc1.", ".intermediate.dense."),
    (".mlp.fc2.", ".output.dense."),
)


def vit_weights(net: nn.Module) -> Weights:
    """By the names in files, which transformers keeps although its modules are called otherwise since version 5."""
    renamed = {}
    for name, tensor in weights(net).items():
        for module, file in VIT_NAMES:
            name = name.replace(module, file)
        renamed[name] = tensor
    return renamed


@opened(29, "transformers-resnet", "transformers_resnet")
def _(folder: Path, net: nn.Module) -> Built:
    net.save_pretrained(folder / "resnet")  # type: ignore[operator]
    return Built(folder / "resnet", weights(net))


@opened(29, "transformers-vit", "transformers_vit")
def _(folder: Path, net: nn.Module) -> Built:
    net.save_pretrained(folder / "vit")  # type: ignore[operator]
    return Built(folder / "vit", vit_weights(net))


@opened(29, "transformers-bin", "transformers_resnet")
def _(folder: Path, net: nn.Module) -> Built:
    """As versions before 5 wrote it, and as most older repositories still are."""
    net.save_pretrained(folder / "resnet")  # type: ignore[operator]
    (folder / "resnet" / "model.safetensors").unlink()
    saved(net.state_dict(), folder / "resnet" / "pytorch_model.bin")
    return Built(folder / "resnet", weights(net))


@opened(30, "sharded-safetensors", "transformers_vit")
def _(folder: Path, net: nn.Module) -> Built:
    net.save_pretrained(folder / "vit", max_shard_size="20KB")  # type: ignore[operator]
    assert len(list((folder / "vit").glob("model-*.safetensors"))) > 2
    return Built(folder / "vit", vit_weights(net))


@opened(30, "sharded-bin", "transformers_resnet")
def _(folder: Path, net: nn.Module) -> Built:
    content = weights(net)
    names = list(content)
    shards = {f"pytorch_model-0000{i + 1}-of-00003.bin": names[i::3] for i in range(3)}
    for file, inside in shards.items():
        saved({name: content[name] for name in inside}, folder / file)
    net.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in content.values())},
        "weight_map": {name: file for file, inside in shards.items() for name in inside},
    }
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return Built(folder, content)


@opened(31, "distributed", "torchvision/mnasnet0_5")
def _(folder: Path, net: nn.Module) -> Built:
    state = {"model": net.state_dict(), "optimizer": {"lr": 0.1, "exp_avg": torch.randn(3, 3)}, "epoch": 5}
    save_distributed(state, checkpoint_id=folder / "step-500", no_dist=True)
    return Built(folder / "step-500", weights(net))


@opened(31, "distributed-app", "timm/mobilenetv3_small_050")
def _(folder: Path, net: nn.Module) -> Built:
    """As in the tutorial: a Stateful that gives the weights and the optimiser by the names of the weights."""
    state = torch.optim.AdamW(net.parameters()).state_dict() | {
        "state": perturbed(dict(net.named_parameters()))
    }
    app = {"model": prefixed("module.", net.state_dict()), "optim": state}
    save_distributed({"app": app}, checkpoint_id=folder / "checkpoint", no_dist=True)
    return Built(folder / "checkpoint", weights(net))


def write_deepspeed(folder: Path, module: dict[str, Tensor], states: str) -> Path:
    """The folder of `save_checkpoint`: `latest` names the one of the step."""
    step = folder / "global_step500"
    step.mkdir()
    (folder / "latest").write_text("global_step500")
    (folder / "zero_to_fp32.py").write_text("# merges the shards of a run\n")
    content = {
        "module": module,
        "buffer_names": [name for name in module if "running" in name],
        "optimizer": None,
        "param_shapes": [{name: tensor.shape for name, tensor in module.items()}],
        "ds_config": {"train_batch_size": 8, "zero_optimization": {"stage": 3 if "zero" in states else 2}},
        "ds_version": "0.18.0",
        "global_steps": 500,
        "dp_world_size": 1,
        "mp_world_size": 1,
    }
    saved(content, step / states)
    flat = torch.cat([torch.randn(8), torch.randn(4)])
    shard = {"zero_stage": 3 if "zero" in states else 2, "partition_count": 1, "fp32_flat_groups": [flat]}
    saved({"optimizer_state_dict": shard}, step / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")
    return folder


@opened(32, "deepspeed", "timm/tinynet_e")
def _(folder: Path, net: nn.Module) -> Built:
    """Stages 0 to 2 keep the weights whole, in the precision of training."""
    content = weights(net.bfloat16())
    return Built(write_deepspeed(folder, content, "mp_rank_00_model_states.pt"), content)


@opened(32, "deepspeed-prefixed", "torchvision/squeezenet1_1")
def _(folder: Path, net: nn.Module) -> Built:
    path = write_deepspeed(folder, prefixed("module.", net.state_dict()), "mp_rank_00_model_states.pt")
    return Built(path, weights(net))


@refused(32, "deepspeed-zero-3", "zero_to_fp32")
def _(folder: Path) -> Path:
    """Stage 3 leaves empty tensors in place of the weights, which are in flat shards."""
    empty = {name: torch.empty(0) for name in network("timm/tinynet_e").state_dict()}
    return write_deepspeed(folder, empty, "zero_pp_rank_0_mp_rank_00_model_states.pt")


def write_accelerate(folder: Path) -> None:
    """What `save_state` writes beside the model."""
    optimizer = stepped(nn.Linear(2, 2))
    saved(optimizer.state_dict(), folder / "optimizer.bin")
    saved(torch.optim.lr_scheduler.StepLR(optimizer, 1).state_dict(), folder / "scheduler.bin")
    states = {
        "step": 500,
        "random_state": random.Random(0).getstate(),
        "numpy_random_seed": np.random.RandomState(0).get_state(),
        "torch_manual_seed": torch.get_rng_state(),
    }
    saved(states, folder / "random_states_0.pkl")


@opened(33, "accelerate", "timm/ghostnet_100")
def _(folder: Path, net: nn.Module) -> Built:
    write_accelerate(folder)
    safetensors.torch.save_file(net.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    return Built(folder, weights(net))


@opened(33, "accelerate-bin", "timm/lcnet_050")
def _(folder: Path, net: nn.Module) -> Built:
    write_accelerate(folder)
    saved(net.state_dict(), folder / "pytorch_model.bin")
    return Built(folder, weights(net))
