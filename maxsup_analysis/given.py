"""Arrays as users have them, as tensors that can be summed: lists, data frames, tensors of any device or type.

What has one meaning is taken so; what has several, or none, is refused in a sentence.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.labels import well_formed

# A list, an array, a tensor or a data frame.
Given = Any
# Types of NumPy that torch lacks, or that have another byte order, as those that it has.
WIDTHS = {2: np.float16, 4: np.float32, 8: np.float64}


@dataclass(frozen=True)
class Labels:
    """The class of each sample by number, and the names of the classes where the labels were names."""

    numbers: Int64[Tensor, " N"]
    names: tuple[str, ...] | None = None


def numbers(name: str, given: Given) -> Float[Tensor, "..."]:
    """The numbers of an array in their own floating type, whole ones in float64; the array's memory where it fits.

    name: what they are, for the sentence that refuses what is no array of real numbers.
    """
    tensor = _tensor(name, given)
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise InputError(f"expected {name} of real numbers, got {_kind(tensor)}; give one real number each")
    return tensor if tensor.is_floating_point() else tensor.double()


def class_labels(given: Given) -> Labels:
    """Labels of integers, of whole floats, of truth values or of names, N or N x 1.

    Names become numbers in their alphabetical order. Raises InputError for one-hot rows and what is no class.
    """
    array = _array("labels", given) if not isinstance(given, Tensor) else None
    if array is not None and array.dtype.kind in "OUS":
        return _named(_column(array))
    tensor = _column(_tensor("labels", given))
    if tensor.is_complex():
        raise InputError(f"expected labels as integers, got {_kind(tensor)}; {ONE_EACH}")
    if tensor.is_floating_point():
        whole = tensor.isfinite() & (tensor == tensor.trunc()) & (tensor.abs() < 2**53)
        if not whole.all():
            first = int((~whole).nonzero()[0, 0])
            raise InputError(
                f"expected labels as integers, got {float(tensor[first])} in row {first}; {ONE_EACH}"
            )
    return Labels(tensor.long())


ONE_EACH = "give the number of the class of each sample"


def _column(labels: Any) -> Any:
    """N labels from N, or N x 1."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise InputError(
            f"expected one label a sample, got {labels.shape[0]} x {labels.shape[1]}; of one-hot rows or scores give "
            "labels.argmax(1)"
        )
    if labels.ndim != 1:
        raise InputError(f"expected one label a sample, got shape {tuple(labels.shape)}; {ONE_EACH}")
    return labels


def _named(labels: np.ndarray) -> Labels:
    """Names by number, in alphabetical order; whole numbers that are held as objects too."""
    values = [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in labels.tolist()
    ]
    if all(isinstance(value, str) for value in values):
        values = list(map(well_formed, values))
        names = sorted(set(values))
        place = {name: number for number, name in enumerate(names)}
        return Labels(torch.tensor([place[value] for value in values], dtype=torch.long), tuple(names))
    if all(isinstance(value, int | np.integer) and abs(value) < 2**63 for value in values):
        return Labels(torch.tensor([int(value) for value in values], dtype=torch.long))
    kinds = ", ".join(sorted({type(value).__name__ for value in values})[:4])
    raise InputError(f"expected labels as integers or names, got {kinds}; {ONE_EACH}")


def _tensor(name: str, given: Given) -> Tensor:
    """A plain tensor on the CPU, without a graph."""
    if not isinstance(given, Tensor):
        return _from_array(name, _array(name, given))
    if given.layout != torch.strided or given.is_quantized or given.is_meta or given.is_nested:
        raise InputError(
            f"expected {name} as a dense tensor with its numbers, got {_layout(given)}; give {name}.to_dense(), "
            "or the numbers themselves"
        )
    plain = given.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return _from_array(name, plain.numpy()) if plain.dtype == torch.uint64 else plain


def _array(name: str, given: Given) -> np.ndarray:
    """An array of NumPy; a mask that hides something is not dropped."""
    if np.ma.isMaskedArray(given) and np.ma.getmaskarray(given).any():
        hidden = int(np.ma.getmaskarray(given).sum())
        raise InputError(
            f"expected {name} without gaps, got a masked array that hides {hidden}; leave those samples out of all "
            "arrays"
        )
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as reason:
        detail = " ".join(str(reason).split())[:80]
        raise InputError(
            f"expected {name} as an array, got {type(given).__name__} ({detail}); make it one"
        ) from None
    if array.ndim == 0:
        raise InputError(
            f"expected {name} as an array, got {type(given).__name__}; give an array or a tensor"
        )
    return array


def _from_array(name: str, array: np.ndarray) -> Tensor:
    kind = array.dtype.name if array.dtype.kind == "V" else array.dtype.kind
    if kind not in CONVERTED:
        raise InputError(f"expected {name} of numbers, got {_words(array)}; convert them with .astype(float)")
    # One order of the numbers in memory, as products in float32 depend on it in their last digits.
    array = np.ascontiguousarray(CONVERTED[kind](array))
    with warnings.catch_warnings():
        # Arrays that cannot be written to: nothing here writes into what it is given.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def _floats(array: np.ndarray) -> np.ndarray:
    return array.astype(WIDTHS.get(array.dtype.itemsize, np.float64), copy=False)


def _unsigned(array: np.ndarray) -> np.ndarray:
    if array.size and array.max() >= 2**63:
        raise InputError(f"expected whole numbers below 2^63, got {int(array.max())}; check the array")
    return array.astype(np.int64)


# Kinds of NumPy's types -> what torch takes.
CONVERTED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "f": _floats,
    "i": lambda array: array.astype(np.int64, copy=False),
    "u": _unsigned,
    "b": lambda array: array.astype(np.bool_, copy=False),
    "c": lambda array: array.astype(np.complex128),
    "bfloat16": lambda array: array.astype(np.float32),
}


def _words(array: np.ndarray) -> str:
    """What an array holds, for people."""
    return {"O": "objects", "U": "text", "S": "bytes", "M": "dates", "m": "times"}.get(
        array.dtype.kind, str(array.dtype)
    )


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _layout(tensor: Tensor) -> str:
    if tensor.is_meta:
        return "one on the device meta, which has none"
    return "a quantised one" if tensor.is_quantized else "a sparse or nested one"
