"""Types and bounds of described tensors."""

from maxsup_analysis.containers.contents import ITEM_SIZES, StoredTensor
from maxsup_analysis.containers.pickles import Name
from maxsup_analysis.errors import InputError

TENSOR_LIMIT = 100_000
NAME_LIMIT = 512
# A tensor may repeat its bytes (expanded buffers do) up to this many.
EXPANDED_LIMIT = 1 << 20
STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "UntypedStorage": "uint8",
}  # fmt: skip
NUMPY_DTYPES = {
    "f8": "float64", "f4": "float32", "f2": "float16", "i8": "int64", "i4": "int32", "i2": "int16", "i1": "int8",
    "u8": "uint64", "u4": "uint32", "u2": "uint16", "u1": "uint8", "b1": "bool", "c8": "complex64",
    "c16": "complex128",
}  # fmt: skip


def within_bounds(tensor: StoredTensor) -> StoredTensor:
    """The tensor itself; InputError where it reaches outside of its record or unfolds to more than it stores."""
    shape, stride, width = tensor.shape, tensor.stride, ITEM_SIZES[tensor.dtype]
    if len(shape) != len(stride):
        raise InputError(f"one of its tensors has {len(shape)} lengths but {len(stride)} strides")
    if tensor.start < 0:
        raise InputError("one of its tensors starts before its bytes")
    if not tensor.size:
        return tensor
    last = sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if tensor.start + (last + 1) * width > tensor.record.length:
        raise InputError(
            f"one of its tensors {shape!s:.60} reaches outside of its {tensor.record.length:,} bytes"
        )
    if tensor.size * width > max(tensor.record.length, EXPANDED_LIMIT):
        raise InputError(
            f"one of its tensors {shape!s:.60} unfolds {tensor.record.length:,} bytes to many more"
        )
    return tensor


def dtype_name(name: object) -> str:
    """`float32` of torch.float32 or torch.FloatStorage; InputError for one that is unknown."""
    short = str(name.name if isinstance(name, Name) else name).rpartition(".")[2]
    short = STORAGES.get(
        short, {"half": "float16", "float": "float32", "double": "float64"}.get(short, short)
    )
    if short not in ITEM_SIZES:
        raise InputError(f"it holds tensors of type {short[:40]!r}, which is not known here")
    return short


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of an array that is stored row by row."""
    stride, steps = 1, []
    for length in reversed(shape):
        steps.append(stride)
        stride *= max(length, 1)
    return tuple(reversed(steps))
