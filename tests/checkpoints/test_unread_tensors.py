"""Tests for tensors that are no plain numbers: joined where the file has all of them, else refused by name."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributed import FileStore  # type: ignore[attr-defined]
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.testing._internal.two_tensor import TwoTensor

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.errors import InputError
from maxsup_analysis.inspection import inspect_checkpoint

WEIGHT = torch.arange(12.0).view(4, 3)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory):
    """A mesh of one rank."""
    store = FileStore(str(tmp_path_factory.mktemp("store") / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield DeviceMesh("cpu", [0])
    torch.distributed.destroy_process_group()


def test_a_distributed_tensor_that_is_whole_is_its_local_part(tmp_path: Path, mesh: DeviceMesh):
    parts = {
        f"{n}.weight": DTensor.from_local(WEIGHT, mesh, [p]) for n, p in enumerate((Shard(0), Replicate()))
    }
    torch.save({"model": parts}, tmp_path / "one.pt")
    found = open_checkpoint(tmp_path / "one.pt").state_dict
    assert set(found) == set(parts) and all(torch.equal(tensor, WEIGHT) for tensor in found.values())


@pytest.mark.parametrize("placement", ["shard", "partial"])
def test_the_part_of_one_rank_is_refused(tmp_path: Path, mesh: DeviceMesh, placement: str):
    if placement == "shard":
        tensor = DTensor.from_local(
            WEIGHT, mesh, [Shard(0)], run_check=False, shape=torch.Size((8, 3)), stride=(3, 1)
        )
    else:
        tensor = DTensor.from_local(WEIGHT, mesh, [Partial()])
    content = {f"layers.{n}.weight": tensor for n in range(3)} | {"head.bias": torch.zeros(4)}
    torch.save({"model": content}, tmp_path / "rank0.pt")
    with pytest.raises(
        InputError, match=r"3 of its tensors are torch.distributed.tensor.DTensor.*one rank"
    ) as no:
        open_checkpoint(tmp_path / "rank0.pt")
    assert "full_state_dict=True" in str(no.value) and "\n" not in str(no.value)


UNREAD = {
    "torch.testing._internal.two_tensor.TwoTensor": lambda: TwoTensor(WEIGHT, WEIGHT),
    "sparse tensors; save them after to_dense()": lambda: WEIGHT.to_sparse(),
    "no numbers; save the model once its weights are loaded": lambda: torch.empty(4, 3, device="meta"),
}


@pytest.mark.parametrize("said", UNREAD)
@pytest.mark.parametrize("alone", [True, False])
def test_tensors_of_a_class_of_their_own_are_refused_by_name(tmp_path: Path, said: str, alone: bool):
    content: dict[str, Tensor] = {"body.weight": UNREAD[said]()}
    if not alone:
        content["head.weight"] = WEIGHT
    torch.save({"state_dict": content}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=re.escape(said)):
        inspect_checkpoint(tmp_path / "weights.pt")


CODES = {
    "bitsandbytes": {"fc.weight": WEIGHT.to(torch.int8), "fc.SCB": torch.ones(4)},
    "bare codes": {"fc.weight": WEIGHT.to(torch.int8), "fc.bias": torch.ones(4)},
    "quanto": {"fc.weight._data": WEIGHT.to(torch.int8), "fc.weight._scale": torch.ones(4, 1)},
    "GPTQ": {"fc.qweight": torch.ones(4, 3, dtype=torch.int32), "fc.scales": torch.ones(4)},
    "4 bits": {"fc.weight": torch.ones(6, 1, dtype=torch.uint8), "fc.weight.absmax": torch.ones(1)},
    "float8 with scales": {"fc.weight": WEIGHT.to(torch.float8_e4m3fn), "fc.weight_scale_inv": torch.ones(1)},
    "torchao": {"fc.weight:_data": WEIGHT.to(torch.int8), "fc.weight:_scale": torch.ones(4)},
}


@pytest.mark.parametrize("name", CODES)
def test_codes_of_quantised_weights_are_no_weights(tmp_path: Path, name: str):
    torch.save({f"model.{key}": tensor for key, tensor in CODES[name].items()}, tmp_path / "quantised.pt")
    with pytest.raises(InputError, match=r"quantised weights.*save the model before quantising it"):
        open_checkpoint(tmp_path / "quantised.pt")


def test_flattened_shards_of_fsdp_are_refused_by_name(tmp_path: Path):
    torch.save({"_fsdp_wrapped_module._flat_param": torch.ones(24)}, tmp_path / "shard.pt")
    with pytest.raises(InputError, match=r"flattened weights of FSDP.*FULL_STATE_DICT"):
        open_checkpoint(tmp_path / "shard.pt")


def test_tables_of_integers_are_no_codes(tmp_path: Path):
    content = {"attn.weight": WEIGHT, "attn.relative_position_index": torch.ones(4, 4, dtype=torch.int64)}
    content |= {"attn.mask": torch.ones(4, 4, dtype=torch.uint8)}
    torch.save(content, tmp_path / "plain.pt")
    assert set(open_checkpoint(tmp_path / "plain.pt").state_dict) == set(content)
