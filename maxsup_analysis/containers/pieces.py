"""Tensors that were saved in pieces: every element comes from exactly one of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product

from maxsup_analysis.containers.contents import StoredTensor
from maxsup_analysis.errors import InputError

# Lengths above one in the shape of a tensor that is saved in pieces; each doubles the corners of a piece.
MOST_AXES = 8

Position = tuple[int, ...]
Piece = tuple[Position, StoredTensor]


def joined(shape: Position, pieces: Sequence[Piece], name: str) -> StoredTensor:
    """One tensor of all of its pieces; InputError where they overlap, leave a gap or differ in type.

    Each piece comes with the position of its first element; () stands for a tensor that is whole.
    """
    placed = [(position or (0,) * len(shape), piece) for position, piece in pieces]
    first = placed[0][1]
    of_one_type = all(piece.dtype == first.dtype for _, piece in placed)
    boxes = [(position, piece.shape) for position, piece in placed]
    if not of_one_type or not covers_once(shape, boxes):
        raise InputError(
            f"the pieces of {name[:80]!r} do not make a tensor of shape {shape}: they overlap, leave a gap or are of "
            "other types; copy the whole folder again, or save the weights as one file"
        )
    if len(placed) == 1:
        return first
    return StoredTensor(first.dtype, shape, first.stride, first.record, parts=tuple(placed))


def covers_once(shape: Position, boxes: Iterable[tuple[Position, Position]]) -> bool:
    """Whether boxes (position, lengths) cover every element of a shape exactly once.

    A sum of boxes is known by its corners: each box counts +1 and -1 in turn there. They cover the shape once just if
    all corners together are those of the shape.

    Example:
        >>> covers_once((4,), [((0,), (3,)), ((3,), (1,))]), covers_once((4,), [((0,), (3,)), ((2,), (1,))])
        (True, False)
    """
    axes = [axis for axis, length in enumerate(shape) if length > 1]
    if len(axes) > MOST_AXES:
        return False
    corners: Counter[Position] = Counter()
    for position, lengths in boxes:
        if not len(position) == len(lengths) == len(shape):
            return False
        ends = [position[axis] + lengths[axis] for axis in range(len(shape))]
        if any(end > length for end, length in zip(ends, shape, strict=True)):
            return False
        if 0 not in lengths:
            _count(corners, [(position[axis], ends[axis]) for axis in axes], 1)
    if 0 not in shape:
        _count(corners, [(0, shape[axis]) for axis in axes], -1)
    return not any(corners.values())


def _count(corners: "Counter[Position]", edges: Sequence[tuple[int, int]], sign: int) -> None:
    for ends in product((0, 1), repeat=len(edges)):
        corners[tuple(edge[end] for edge, end in zip(edges, ends, strict=True))] += sign * (-1) ** sum(ends)
