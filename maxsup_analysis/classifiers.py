"""From a checkpoint to a classifier that runs: its module with the weights, its head, its preprocessing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from maxsup_analysis.architectures.build import apply_blurpool, build_module, resolved
from maxsup_analysis.architectures.guess import blurred_layers
from maxsup_analysis.architectures.known import index
from maxsup_analysis.architectures.outline import require_room
from maxsup_analysis.architectures.small import ARCHITECTURES
from maxsup_analysis.checkpoints import Checkpoint
from maxsup_analysis.containers.contents import numbers_held
from maxsup_analysis.errors import InputError
from maxsup_analysis.fitting import fit_transformers, fit_weights
from maxsup_analysis.heads import FoundHead, NoLinearHead, find_head
from maxsup_analysis.hooks import Forward, as_two_logits, logits_of
from maxsup_analysis.hugging_face import TransformersFolder, folder_of, transformers_folder
from maxsup_analysis.image_settings import INCEPTION
from maxsup_analysis.inspection import Inspection, arguments_for
from maxsup_analysis.own_format import typed_arguments
from maxsup_analysis.preprocessing import Overrides, Preprocessing
from maxsup_analysis.processors import StatedImages
from maxsup_analysis.representation import Head
from maxsup_analysis.taps import FeatureTap, LayerTap

# Of all images of the probe together; a wide layer takes 64 numbers a pixel.
PROBE_PIXELS = 1 << 21


@dataclass(frozen=True)
class ModelChoice:
    """What the user says about the model.

    name: an architecture, `hf:FOLDER`, `package.module:factory` or `file.py:factory`; None takes the checkpoint's.
    arguments: of its constructor, over those that are found. layer: whose output are the features, None the input of
    the head.
    """

    name: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    layer: str | None = None
    images: Overrides = field(default_factory=Overrides)


@dataclass(frozen=True)
class Classifier:
    """A model in evaluation mode, its head where it has a linear one, and its preprocessing.

    layer: whose output are the features, where the user named one; else they are what enters the head.
    class_names: in the order of the outputs, None where the checkpoint does not name them.
    """

    name: str
    module: nn.Module
    head: FoundHead | None
    num_classes: int
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None
    layer: str | None = None

    def tap(self, forward: Forward | None = None) -> FeatureTap | LayerTap:
        """Opened, it gives the features and logits of a batch; forward: how the module is run, where not as it is."""
        if self.layer is not None:
            return LayerTap(self.module, self.layer, forward=forward)
        assert self.head is not None
        return FeatureTap(self.module, self.head, forward=forward)

    @property
    def weights(self) -> Head | None:
        """The head that belongs to the features: none where a layer was named."""
        return self.head.weights if self.head is not None and self.layer is None else None

    @property
    def place(self) -> str:
        """Where the features come from, in words."""
        if self.layer is not None:
            return f"output of {self.layer}"
        assert self.head is not None
        return f"input of {', '.join(self.head.layers)}"


def classifier_of(checkpoint: Checkpoint, choice: ModelChoice | None = None) -> Classifier:
    """The classifier that a checkpoint holds.

    Raises InputError where the architecture is unknown or ambiguous, weights and architecture differ, preprocessing
    is unknown, or no linear layer makes the outputs.
    """
    choice = choice or ModelChoice()
    found = checkpoint.inspection
    name, module = module_of(checkpoint, choice)
    preprocessing = _preprocessing(checkpoint, name, choice)
    probe = probe_of(preprocessing)
    try:
        as_two_logits(module, probe)
        head = _head(module, probe, choice.layer)
        outputs = head.weights.weight.shape[0] if head else _outputs(module, probe)
    except InputError:
        raise
    # What networks raise for images of a size that is not theirs.
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as reason:
        raise InputError(_not_taken(name, preprocessing, reason)) from reason
    classes = found.claims.classes
    if classes is not None and len(classes) != outputs:
        if found.claims.own is not None:
            raise InputError(
                f"{checkpoint.name} names {len(classes)} classes but its model has {outputs} outputs; name the right "
                "model with --model"
            )
        # What is called like names of classes in the file of another program may be of something else; it was said.
        classes = None
    return Classifier(name, module, head, outputs, preprocessing, classes, choice.layer)


def module_of(checkpoint: Checkpoint, choice: ModelChoice) -> tuple[str, nn.Module]:
    """The name of the architecture, and its module with the weights of the checkpoint, in evaluation mode."""
    found = checkpoint.inspection
    name = _full_name(choice.name, found) if choice.name else found.architecture
    if name is None:
        raise InputError(_unknown(found))
    _require_told(found, choice)
    if name.startswith("hf:"):
        return name, fit_transformers(checkpoint, name, _folder(found, name, choice).configuration).eval()
    arguments = {**arguments_for(found, name), **choice.arguments}
    if name in INCEPTION and "transform_input" not in arguments and found.claims.own is None:
        raise InputError(_no_word_on_inputs(found, name))
    blurred = blurred_layers(found.weights.shapes)
    if ":" not in name:
        _require_room(checkpoint, name, arguments, choice)
    module = build_module(name, arguments, ARCHITECTURES)
    if blurred:
        apply_blurpool(module, blurred)
    return name, fit_weights(module, checkpoint, name, arguments).eval()


def _require_told(found: Inspection, choice: ModelChoice) -> None:
    """Raise InputError where the file states what it may not, and the user says nothing of it."""
    left = [sentence for name, sentence in found.refused.items() if name not in choice.arguments]
    if left and choice.name is None:
        raise InputError(left[0])
    own = found.claims.own
    named = own.item("architecture", "name") if own else None
    if choice.name is None or named is None or not named.is_among({choice.name: None}) or found.architecture:
        return
    stated = own.item("architecture", "arguments") if own else None
    names = [name.label for name, _ in stated.entries()] if stated is not None else []
    if lacking := [name for name in names if name not in choice.arguments]:
        raise InputError(
            f"{found.path.name} was built with arguments that a file may not choose ({', '.join(lacking)[:200]}); "
            f"give --model {choice.name}{typed_arguments(stated)}, changed as you like"
        )


def _require_room(
    checkpoint: Checkpoint, name: str, arguments: Mapping[str, object], choice: ModelChoice
) -> None:
    """Raise InputError where the model would be far larger than its file, which is how a file fills the memory."""
    held = numbers_held(checkpoint.inspection.weights.written.values())
    try:
        require_room(name, arguments, held, choice.arguments)
    except InputError as reason:
        raise InputError(f"{checkpoint.inspection.path}: {reason}") from None


def _no_word_on_inputs(found: Inspection, name: str) -> str:
    return (
        f"{found.path}: nothing says whether {name} changes the colours of its images first, as it does where training "
        "began with torchvision's published weights: give --model-args transform_input=True then, else "
        "transform_input=False"
    )


def _folder(found: Inspection, name: str, choice: ModelChoice) -> TransformersFolder:
    """What the folder of an `hf:FOLDER` states; InputError with what it may not state."""
    shapes = found.weights.shapes
    same = name == found.architecture
    folder = transformers_folder(found.contents.sidecars, shapes, choice.arguments) if same else None
    folder = folder or folder_of(name, choice.arguments, shapes)
    if folder.refused:
        raise InputError(f"{found.path}: {next(iter(folder.refused.values()))}")
    return folder


def probe_of(preprocessing: Preprocessing) -> Tensor:
    """Four images of noise, always the same: whatever the model is, they tell its layers apart; fewer large ones."""
    pixels = preprocessing.size[1] * preprocessing.size[2]
    count = min(4, max(1, PROBE_PIXELS // pixels))
    return torch.randn((count, *preprocessing.size), generator=torch.Generator().manual_seed(0))


def _full_name(name: str, found: Inspection) -> str:
    """A bare name in the library whose names and shapes the weights have, else in torchvision, else in timm."""
    if "/" in name or ":" in name or name in ARCHITECTURES:
        return name
    known = index().architectures
    fitting = [full for full in found.fitting if full.partition("/")[2] == name]
    return next((full for full in fitting if full in known), None) or resolved(name, ARCHITECTURES)


def _unknown(found: Inspection) -> str:
    if "architecture" in found.refused:
        return found.refused["architecture"]
    if len(found.candidates) > 1:
        named = " or ".join(f"--model {name}" for name in found.candidates[:4])
        return (
            f"{found.path}: {len(found.candidates)} architectures have its names and shapes but compute different "
            f"things: say which with {named}"
        )
    detail = "; ".join(line for line in found.evidence)
    return (
        f"{found.path}: its architecture is not known here ({detail[:400]}); give --model NAME (timm or torchvision), "
        "or --model path/to/file.py:factory with the code that it was trained with"
    )


def _preprocessing(checkpoint: Checkpoint, name: str, choice: ModelChoice) -> Preprocessing:
    found = checkpoint.inspection
    other = name.startswith("hf:") and name != found.architecture
    folder = _folder(found, name, choice) if other else found.folder
    if folder and folder.images:
        return _stated_preprocessing(checkpoint, folder.images, choice)
    known = index().architectures.get(name)
    # The published sizes of the architecture, with what the arguments change.
    arguments = {**arguments_for(found, name), **choice.arguments}
    base = found.preprocessing if name == found.architecture and not choice.arguments else None
    try:
        base = base or found.claims.preprocessing(known, arguments)
    except InputError as reason:
        if choice.images.image_size is None:
            raise InputError(
                f"{reason}; give --image-size, and a number a channel in --mean and --std"
            ) from None
    made = choice.images.applied(_as_normalised(checkpoint, base) if base else None)
    if made is None:
        raise InputError(
            f"{found.path}: nothing says how images are prepared for {name}; give --image-size (and --mean, --std, "
            "--resize where they are not ImageNet's)"
        )
    return made


def _stated_preprocessing(checkpoint: Checkpoint, images: StatedImages, choice: ModelChoice) -> Preprocessing:
    """As transformers' file says; where it cannot be done so, with the size that the user gives."""
    if images.refusal and choice.images.image_size is None:
        raise InputError(f"{checkpoint.inspection.path}: {images.refusal}")
    made = choice.images.applied(images.preprocessing)
    assert made is not None
    return made


def _not_taken(name: str, preprocessing: Preprocessing, reason: Exception) -> str:
    shape = " x ".join(map(str, preprocessing.size))
    return (
        f"{name} does not take images of {shape}: {' '.join(str(reason).split())[:200]}; say what it takes with "
        "--image-size, and a number for each channel in --mean and --std (one of both for grey images)"
    )


def _as_normalised(checkpoint: Checkpoint, base: Preprocessing) -> Preprocessing:
    """With the mean and the deviation that the model carried along as buffers, as those of `robustness` do."""
    carried = {
        name.rpartition(".")[2]: tuple(checkpoint.written[name].float().flatten().tolist())
        for name in checkpoint.inspection.weights.normalizer
    }
    mean = carried.get("new_mean", carried.get("mean"))
    std = carried.get("new_std", carried.get("std"))
    return replace(base, mean=mean, std=std) if mean and std else base


def _head(module: nn.Module, probe: Tensor, layer: str | None) -> FoundHead | None:
    try:
        return find_head(module, probe)
    except NoLinearHead:
        if layer is None:
            raise
        return None


def _outputs(module: nn.Module, probe: Tensor) -> int:
    with torch.inference_mode():
        return logits_of(module(probe)).shape[1]
