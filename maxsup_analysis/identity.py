"""What samples are known by: ids, in one form for each value, whatever array or list they come in."""

from typing import Any

import numpy as np

from maxsup_analysis.errors import InputError

# Whole numbers that float64 holds one by one.
EXACT = 2.0**53
NUMBERS = (int, float, np.integer, np.floating, np.bool_)
ADVICE = "give whole numbers or text, one a sample"


def canonical_ids(ids: Any) -> np.ndarray:
    """The ids as int64, as uint64 where that is too narrow, as text, or as float64 where a number is not whole.

    So the same values are the same ids, whatever type holds them: 3, 3.0 and np.uint8(3) are one id; "3" is another.
    Raises InputError for what has no value of its own: NaN, mixed or other objects.

    Example:
        >>> canonical_ids([3.0, 1.0])
        array([3, 1])
    """
    array = plain_ids(ids)
    if array.dtype.kind == "f":
        array = _from_floats(array.astype(np.float64))
    if array.dtype.kind == "u" and (not array.size or array.max() < 2**63):
        return array.astype(np.int64)
    if array.dtype.kind == "u":
        return array.astype(np.uint64)
    if array.dtype.kind in "ib":
        return array.astype(np.int64)
    return array.astype(array.dtype.newbyteorder("="))


def plain_ids(ids: Any) -> np.ndarray:
    """The ids as numbers or text, in the type that they come in."""
    array = _unmasked(ids)
    if array.dtype.kind == "S":
        array = _decoded(array)
    if array.dtype.kind == "O":
        array = _of_objects(array)
    if array.dtype.kind == "M":
        array = array.astype(np.str_)
    if array.dtype.kind not in "iubfU":
        raise InputError(f"expected ids that are whole numbers or text, got {array.dtype}; {ADVICE}")
    return array


def _unmasked(ids: Any) -> np.ndarray:
    if np.ma.isMaskedArray(ids) and np.ma.getmaskarray(ids).any():
        raise InputError("expected an id for every sample, got a masked array without some; fill them in")
    try:
        # Of a list that mixes text and numbers NumPy would make text.
        return np.asarray(ids, dtype=object if isinstance(ids, list | tuple) else None)
    except (ValueError, TypeError, RuntimeError):
        raise InputError(f"expected a list or an array of ids, got {type(ids).__name__}; {ADVICE}") from None


def _of_objects(array: np.ndarray) -> np.ndarray:
    """Objects of one kind."""
    values = array.ravel().tolist()
    if all(isinstance(value, str) for value in values):
        return array.astype(np.str_)
    if all(isinstance(value, NUMBERS) for value in values):
        found = np.array(values)
        if found.dtype.kind in "iubf":
            return found.reshape(array.shape)
    kinds = ", ".join(sorted({type(value).__name__ for value in values})[:4])
    raise InputError(f"expected ids that are whole numbers or text, got {kinds}; {ADVICE}")


def _decoded(array: np.ndarray) -> np.ndarray:
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError:
        raise InputError(f"expected ids as text in UTF-8, got other bytes; {ADVICE}") from None


def _from_floats(array: np.ndarray) -> np.ndarray:
    """Whole numbers as such, where all of them are."""
    if not np.isfinite(array).all():
        raise InputError(
            f"expected a finite id for every sample, got {array[~np.isfinite(array)][0]}; {ADVICE}"
        )
    if (array == np.trunc(array)).all() and (np.abs(array) <= EXACT).all():
        return array.astype(np.int64)
    return array
