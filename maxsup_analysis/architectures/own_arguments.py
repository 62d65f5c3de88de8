"""What the constructors of this package's own networks need, as far as names and shapes of weights show it."""

from collections.abc import Mapping
from math import isqrt

from maxsup_analysis.architectures.trees import Shape

Shapes = Mapping[str, Shape]
# Channels of the first convolution at width 1.
FIRST_WIDTHS = {"cifar_resnet18": 64, "cifar_resnet20": 16, "cifar_resnet32": 16, "cifar_resnet56": 16}


def own_arguments(name: str, shapes: Shapes) -> dict[str, object]:
    """Channels, classes and widths for a network of this package; nothing for another, or where they do not show.

    Example:
        >>> own_arguments("cifar_resnet32", {"conv1.weight": (32, 3, 3, 3), "head.weight": (10, 128)})
        {'channels': 3, 'classes': 10, 'width': 2.0}
    """
    kernels = [shape for shape in shapes.values() if len(shape) == 4]
    matrices = [shape for shape in shapes.values() if len(shape) == 2]
    if not matrices:
        return {}
    classes = matrices[-1][0]
    if name in FIRST_WIDTHS and kernels:
        width, channels = kernels[0][0] / FIRST_WIDTHS[name], kernels[0][1]
        found: dict[str, object] = {"channels": channels, "classes": classes}
        return found if width == 1 else {**found, "width": width}
    if name == "small_cnn" and kernels:
        return {"channels": kernels[0][1], "classes": classes, "widths": [shape[0] for shape in kernels]}
    if name == "digits_mlp":
        return {
            **_pixels(matrices[0][1]),
            "classes": classes,
            "widths": [shape[0] for shape in matrices[:-1]],
        }
    return {}


def _pixels(inputs: int) -> dict[str, object]:
    """Channels and side of square images of so many numbers, grey or of three colours."""
    channels = next((count for count in (1, 3) if isqrt(inputs // count) ** 2 * count == inputs), 1)
    return {"channels": channels, "side": isqrt(inputs // channels)}
