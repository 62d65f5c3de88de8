"""Tests for tensors in pieces: every element of the weights comes from the file exactly once, or it is refused."""

import io
import json
import pickle
import random
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from maxsup_analysis.checkpoints import open_checkpoint
from maxsup_analysis.containers.pieces import covers_once
from maxsup_analysis.errors import InputError

Position = tuple[int, ...]
WHOLE = torch.arange(24, dtype=torch.float32).view(6, 4) + 1


def written(folder: Path, whole: Tensor, boxes: list[tuple[Position, Position]]) -> Path:
    """A folder as torch.distributed.checkpoint writes it, with these pieces (position, lengths) of `fc.weight`."""
    folder.mkdir()
    stored, chunks, place = {}, [], 0
    with (folder / "__0_0.distcp").open("wb") as file:
        for number, (position, lengths) in enumerate(boxes):
            slices = tuple(slice(a, a + n) for a, n in zip(position, lengths, strict=True))
            buffer = io.BytesIO()
            torch.save(whole[slices].clone(), buffer)
            index = MetadataIndex("fc.weight", torch.Size(position), number)
            stored[index] = _StorageInfo("__0_0.distcp", place, buffer.tell())
            chunks.append(ChunkStorageMetadata(torch.Size(position), torch.Size(lengths)))
            place += file.write(buffer.getvalue())
    about: dict[str, TensorStorageMetadata | BytesStorageMetadata] = {
        "fc.weight": TensorStorageMetadata(TensorProperties(), whole.shape, chunks)
    }
    (folder / ".metadata").write_bytes(pickle.dumps(Metadata(about, storage_data=stored)))
    return folder


@pytest.mark.parametrize(
    "boxes",
    [
        [((0, 0), (2, 4)), ((2, 0), (2, 4)), ((4, 0), (2, 4))],
        [((0, 0), (6, 1)), ((0, 1), (6, 3))],
        [((0, 0), (4, 2)), ((0, 2), (2, 2)), ((2, 2), (4, 2)), ((4, 0), (2, 2))],
    ],
    ids=["rows", "columns", "tiles"],
)
def test_pieces_that_cover_the_tensor_are_joined(tmp_path: Path, boxes: list[tuple[Position, Position]]):
    found = open_checkpoint(written(tmp_path / "step", WHOLE, boxes))
    assert torch.equal(found.state_dict["fc.weight"], WHOLE)


@pytest.mark.parametrize(
    "boxes",
    [
        # As many elements as the tensor has, at different positions, inside of it.
        [((0, 0), (3, 4)), ((2, 0), (3, 4))],
        [((0, 0), (4, 3)), ((1, 1), (4, 3))],
        [((0, 0), (2, 4)), ((1, 0), (2, 4)), ((4, 0), (2, 4))],
        [((1, 0), (5, 4))],
        [((0, 0), (6, 3))],
    ],
    ids=["overlap and gap", "overlap and gap of tiles", "overlap in three", "a row less", "a column less"],
)
def test_pieces_that_overlap_or_leave_a_gap_are_refused(
    tmp_path: Path, boxes: list[tuple[Position, Position]]
):
    with pytest.raises(InputError, match=r"the pieces of 'fc.weight' do not make a tensor of shape \(6, 4\)"):
        open_checkpoint(written(tmp_path / "step", WHOLE, boxes))


def counted(shape: Position, boxes: list[tuple[Position, Position]]) -> bool:
    counts = np.zeros(shape, int)
    for position, lengths in boxes:
        counts[tuple(slice(a, a + n) for a, n in zip(position, lengths, strict=True))] += 1
    return bool((counts == 1).all())


def test_boxes_are_counted_right():
    """Against an array in which every element counts the boxes that hold it."""
    rng = random.Random(0)
    seen = {True: 0, False: 0}
    for _ in range(3000):
        shape = tuple(rng.randint(1, 3) for _ in range(rng.randint(1, 3)))
        cuts = [sorted({0, length, rng.randint(0, length)}) for length in shape]
        edges = [list(pairwise(cut)) for cut in cuts]
        boxes = [(tuple(a for a, _ in box), tuple(b - a for a, b in box)) for box in product(*edges)]
        if rng.random() < 0.7:
            position = tuple(rng.randrange(length) for length in shape)
            lengths = tuple(rng.randint(0, n - a) for a, n in zip(position, shape, strict=True))
            boxes[rng.randrange(len(boxes))] = (position, lengths)
        right = counted(shape, boxes)
        assert covers_once(shape, boxes) == right, (shape, boxes)
        seen[right] += 1
    assert min(seen.values()) > 500


@pytest.mark.parametrize("case", ["twice", "in the wrong file", "not listed"])
def test_shards_and_their_index_have_to_agree(tmp_path: Path, case: str):
    one, other = {"a.weight": torch.ones(2, 2)}, {"b.weight": torch.zeros(2, 2)}
    if case != "in the wrong file":
        other["a.weight" if case == "twice" else "c.weight"] = torch.zeros(2, 2)
    save_file(one, tmp_path / "model-1.safetensors")
    save_file(other, tmp_path / "model-2.safetensors")
    second = "model-1.safetensors" if case == "in the wrong file" else "model-2.safetensors"
    places = {"a.weight": "model-1.safetensors", "b.weight": second}
    index = {"metadata": {}, "weight_map": places}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"model.safetensors.index.json"):
        open_checkpoint(tmp_path)


def test_an_index_that_lists_a_tensor_twice_is_refused(tmp_path: Path):
    save_file({"a.weight": torch.ones(2, 2)}, tmp_path / "model-1.safetensors")
    save_file({"a.weight": torch.zeros(2, 2)}, tmp_path / "model-2.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a.weight": "model-1.safetensors", "a.weight": "model-2.safetensors"}}'
    )
    with pytest.raises(InputError, match="the same name twice"):
        open_checkpoint(tmp_path)
