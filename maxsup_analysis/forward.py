"""The forward pass: images of a model's size to features and logits, in the precision and the memory that there are."""

import gc
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxsup_analysis.classifiers import Classifier
from maxsup_analysis.datasets import Fetched
from maxsup_analysis.errors import InputError, is_out_of_memory
from maxsup_analysis.heads import IDENTITY_TOLERANCE
from maxsup_analysis.progress import say
from maxsup_analysis.representation import Head
from maxsup_analysis.taps import Outputs

AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}
# How far head(features) may be from logits that were computed with 8 or 11 bits.
ROUNDED_TOLERANCE = {"bf16": 3e-2, "fp16": 4e-3, "tf32": 4e-3}
LARGEST_BATCH = 4096
# Blank images that tell how large the outputs are.
SIZED = 2
CPU_BATCH = 64
# Numbers that one layer makes of a part of a batch on a CPU: 256 MB, of which a network holds a few at a time.
CPU_NUMBERS = 1 << 26
# In this variable cuBLAS looks for how it may be made deterministic, once, when CUDA starts.
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@dataclass(frozen=True)
class Precision:
    """What decides the last digits: autocast (bf16 or fp16), TF32, deterministic algorithms, compilation."""

    amp: str | None = None
    tf32: bool = False
    deterministic: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if self.amp is not None and self.amp not in AMP:
            raise InputError(f"expected --amp {' or '.join(AMP)}, got {self.amp!r}")

    @property
    def identity_tolerance(self) -> float:
        """How far head(features) may be from the logits, relative to their size."""
        rounded = self.amp or ("tf32" if self.tf32 else None)
        return ROUNDED_TOLERANCE[rounded] if rounded else IDENTITY_TOLERANCE


@dataclass(frozen=True)
class Batched:
    """Features and logits of what was fetched, in float32 on the CPU."""

    fetched: Fetched
    features: Tensor
    logits: Tensor


class ForwardPass:
    """A classifier on a device; while it is open, its layers are heard and torch's numerics are as asked.

    limit: the largest batch that has not run out of memory; it halves when one does.
    """

    def __init__(self, classifier: Classifier, device: torch.device, precision: Precision) -> None:
        self.classifier, self.device, self.precision = classifier, device, precision
        self.limit = LARGEST_BATCH
        self.identity_is_known = classifier.weights is None
        self.open = ExitStack()

    def __enter__(self) -> "ForwardPass":
        module = self.classifier.module.eval().to(self.device)
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.open.enter_context(numerics(self.precision))
        forward = torch.compile(module) if self.precision.compile else None
        self.tap = self.open.enter_context(self.classifier.tap(forward))
        # Compiled layers are not heard; a GPU says itself when its memory is full, a machine may end the process.
        bounded = self.device.type == "cpu" and forward is None
        with _widest(module if bounded else torch.nn.Identity()) as widest:
            self.D, self.K = self._sizes()
        self.limit = min(self.limit, max(1, CPU_NUMBERS * SIZED // max(widest)))
        return self

    def __exit__(self, *exception: object) -> None:
        self.open.close()

    def batches(self, fetched: Iterable[Fetched]) -> Iterator[Batched]:
        """Features and logits of each, in order; copies from the device overlap with the next batch."""
        waiting: deque[_Copied] = deque()
        for images in fetched:
            waiting.append(_Copied(images, self.outputs(images.images), self.device))
            while len(waiting) > (self.device.type == "cuda"):
                yield self._arrived(waiting.popleft())
        yield from map(self._arrived, waiting)

    def outputs(self, images: Tensor) -> list[Outputs]:
        """What the model makes of images, in as many parts as its memory asks for."""
        done: list[Outputs] = []
        start = 0
        while start < len(images):
            part = images[start : start + self.limit]
            outputs = self._attempt(part)
            if outputs is None:
                self._halve(len(part))
            else:
                done.append(outputs)
                start += len(part)
        return done

    def largest_batch(self) -> int:
        """The largest power of two, up to a shard, that fits in memory; on the CPU 64, beyond which it is no faster."""
        if self.device.type == "cpu":
            return CPU_BATCH
        size = 1
        while size < LARGEST_BATCH and self._attempt(self._blank(2 * size)) is not None:
            size *= 2
        _free_memory()
        return size

    def _sizes(self) -> tuple[int, int]:
        """The numbers of features and of logits, from a forward pass of blank images."""
        outputs = self._attempt(self._blank(SIZED))
        if outputs is None:
            raise InputError(
                f"{self.device} has too little memory for this model; choose another with --device"
            )
        return outputs.features.shape[1], outputs.logits.shape[1]

    def _blank(self, count: int) -> Tensor:
        return torch.zeros(count, *self.classifier.preprocessing.size, dtype=torch.uint8)

    def _attempt(self, images: Tensor) -> Outputs | None:
        """The outputs, or None where the memory is too small."""
        try:
            return self._run(images)
        except RuntimeError as reason:
            if not is_out_of_memory(reason):
                raise
        # Only here: the exception held on to the tensors of the failed pass.
        _free_memory()
        return None

    def _run(self, images: Tensor) -> Outputs:
        # Bytes are turned around, not floats: a quarter of the work.
        moved = images.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        prepared = self.classifier.preprocessing.normalised(moved)
        amp = self.precision.amp
        if amp is None:
            return self.tap(prepared)
        with torch.autocast(self.device.type, AMP[amp]):
            return self.tap(prepared)

    def _halve(self, size: int) -> None:
        if size == 1:
            raise InputError(
                f"{self.device} has too little memory for a single image; use --amp bf16, or another --device"
            )
        self.limit = size // 2
        say(f"warning: out of memory with {size} images at once; going on with {self.limit}")

    def _arrived(self, copied: "_Copied") -> Batched:
        features, logits = copied.wait()
        if not len(copied.fetched.ids):
            return Batched(copied.fetched, torch.empty(0, self.D), torch.empty(0, self.K))
        if not self.identity_is_known:
            assert self.classifier.weights is not None
            require_identity(self.classifier.weights, features, logits, self.precision.identity_tolerance)
            self.identity_is_known = True
        return Batched(copied.fetched, features, logits)


class _Copied:
    """Outputs on their way to the CPU; holds the memory that they are copied to."""

    def __init__(self, fetched: Fetched, outputs: list[Outputs], device: torch.device) -> None:
        self.fetched = fetched
        self.features = [_to_cpu(part.features) for part in outputs]
        self.logits = [_to_cpu(part.logits) for part in outputs]
        self.event = torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None

    def wait(self) -> tuple[Tensor, Tensor]:
        """Features and logits, once they have arrived."""
        if self.event is not None:
            self.event.synchronize()
        return _one(self.features), _one(self.logits)


@contextmanager
def _widest(module: torch.nn.Module) -> Iterator[list[int]]:
    """How many numbers each layer makes, as long as it lasts."""
    numbers = [1]

    def hear(layer: torch.nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            numbers.append(output.numel())

    hooks = [layer.register_forward_hook(hear) for layer in module.modules()]
    try:
        yield numbers
    finally:
        for hook in hooks:
            hook.remove()


def require_identity(
    head: Head, features: Tensor, logits: Tensor, tolerance: float = IDENTITY_TOLERANCE
) -> float:
    """How far head(features) is from the logits, relative to their size; InputError beyond the tolerance."""
    gap = (head.logits(features.double()) - logits.double()).abs().max()
    residual = float(gap / logits.double().abs().max().clamp(min=1))
    # What is not finite is reported with the name of its sample, elsewhere.
    if residual > tolerance:
        raise InputError(
            f"head(features) differs from the model's output by {residual:.2g} of its size, more than "
            f"{tolerance:g}: what reaches the head is not what makes the logits"
        )
    return residual


@contextmanager
def numerics(precision: Precision) -> Iterator[None]:
    """While it lasts, float32 on CUDA is that unless TF32 is asked for, and no stopwatch chooses algorithms."""
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    before = (
        cudnn.allow_tf32,
        matmul.allow_tf32,
        matmul.allow_bf16_reduced_precision_reduction,
        cudnn.benchmark,
    )
    deterministic = torch.are_deterministic_algorithms_enabled()
    cudnn.allow_tf32 = matmul.allow_tf32 = precision.tf32
    matmul.allow_bf16_reduced_precision_reduction = cudnn.benchmark = False
    if precision.deterministic:
        os.environ.setdefault(CUBLAS, ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        # Not called in vain: it imports torch's compiler, which takes a second.
        if precision.deterministic:
            torch.use_deterministic_algorithms(deterministic)
        (
            cudnn.allow_tf32,
            matmul.allow_tf32,
            matmul.allow_bf16_reduced_precision_reduction,
            cudnn.benchmark,
        ) = before


def _to_cpu(tensor: Tensor) -> Tensor:
    """In float32; from CUDA into memory that is filled while other work goes on."""
    values = tensor.float()
    if values.device.type != "cuda":
        return values.cpu()
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)


def _one(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts) if parts else torch.empty(0, 0)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
