"""Classifiers for small images, which train on a CPU or in minutes on a GPU."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from maxsup_analysis.errors import InputError
from maxsup_analysis.table import Table

ARCHITECTURES: "Table[Callable[..., nn.Module]]" = Table("architecture")
# Kornblith et al. 2021.
TEMPERATURE = 0.05


class CosineHead(nn.Linear):
    """z_k = cos(w_k, h) / temperature: the head of cosine softmax."""

    def __init__(self, inputs: int, outputs: int, temperature: float = TEMPERATURE) -> None:
        super().__init__(inputs, outputs, bias=False)
        if not temperature > 0:
            raise InputError(f"expected temperature above 0, got {temperature}")
        self.temperature = temperature

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Cosines with each row of the weight, divided by the temperature."""
        return F.linear(F.normalize(input), F.normalize(self.weight)) / self.temperature


class Residual(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, added to their input (He et al. 2016).

    Where the shape changes, the input is subsampled and its new channels are zero: option A, which has no parameters;
    `projected` takes a 1 x 1 convolution instead: option B.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, projected: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, outputs - inputs
        self.shortcut: nn.Module | None = None
        if projected and (stride != 1 or inputs != outputs):
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, features: Tensor) -> Tensor:
        """relu(f(x) + x)."""
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(features)))))
        return F.relu(inner + self._carried(features))

    def _carried(self, features: Tensor) -> Tensor:
        if self.shortcut is not None:
            return self.shortcut(features)
        if self.stride == 1 and self.added == 0:
            return features
        return F.pad(features[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))


class CifarResNet(nn.Module):
    """A 3 x 3 convolution, stages of residual blocks, the later ones at half the size, an average, a head."""

    def __init__(
        self,
        channels: int,
        classes: int,
        blocks: Sequence[int],
        widths: Sequence[int],
        head: nn.Module,
        *,
        projected: bool,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        stages, inputs = [], widths[0]
        for stage, (count, outputs) in enumerate(zip(blocks, widths, strict=True)):
            strides = [1 if stage == 0 else 2] + [1] * (count - 1)
            parts = []
            for stride in strides:
                parts.append(Residual(inputs, outputs, stride, projected=projected))
                inputs = outputs
            stages.append(nn.Sequential(*parts))
        self.layers = nn.Sequential(*stages)
        self.head = head
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        features = self.layers(F.relu(self.bn1(self.conv1(images))))
        return self.head(features.mean((2, 3)))


def head_of_kind(kind: str, inputs: int, classes: int, temperature: float = TEMPERATURE) -> nn.Module:
    """The last layer: linear, or cosine."""
    if kind == "linear":
        return nn.Linear(inputs, classes)
    if kind == "cosine":
        return CosineHead(inputs, classes, temperature)
    raise InputError(f"expected head linear or cosine, got {kind!r}")


def small_cnn(
    channels: int,
    classes: int,
    widths: Sequence[int] = (32, 64, 64),
    head: str = "linear",
    temperature: float = TEMPERATURE,
) -> nn.Module:
    """Three 3 x 3 convolutions with batch normalisation, one pooling, global average, and a head.

    For images of 8 to 64 pixels; D is the last width.
    """
    first, second, third = widths
    return nn.Sequential(
        *_convolution(channels, first),
        *_convolution(first, second),
        nn.MaxPool2d(2),
        *_convolution(second, third),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        head_of_kind(head, third, classes, temperature),
    )


def digits_mlp(
    channels: int,
    classes: int,
    side: int = 8,
    widths: Sequence[int] = (128, 64),
    head: str = "linear",
    temperature: float = TEMPERATURE,
) -> nn.Module:
    """Fully connected layers with batch normalisation on the pixels of images of side x side; D is the last width."""
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = channels * side * side
    for width in widths:
        layers += [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, head_of_kind(head, inputs, classes, temperature))


def cifar_resnet18(
    channels: int,
    classes: int,
    width: float = 1.0,
    head: str = "linear",
    temperature: float = TEMPERATURE,
) -> nn.Module:
    """ResNet-18 with a 3 x 3 stem and no pooling, for images of 32 pixels: 11.17 M parameters, D = 512.

    width: multiplies the channels.
    """
    widths = _widened((64, 128, 256, 512), width)
    last = head_of_kind(head, widths[-1], classes, temperature)
    return CifarResNet(channels, classes, (2, 2, 2, 2), widths, last, projected=True)


def _three_stages(depth: int) -> Callable[..., nn.Module]:
    """The ResNets of He et al. 2016, section 4.2: 6 n + 2 layers of 16, 32 and 64 channels."""

    def resnet(
        channels: int,
        classes: int,
        width: float = 1.0,
        head: str = "linear",
        temperature: float = TEMPERATURE,
    ) -> nn.Module:
        widths = _widened((16, 32, 64), width)
        last = head_of_kind(head, widths[-1], classes, temperature)
        return CifarResNet(channels, classes, ((depth - 2) // 6,) * 3, widths, last, projected=False)

    resnet.__name__ = f"cifar_resnet{depth}"
    resnet.__doc__ = (
        f"ResNet-{depth} of He et al. 2016, section 4.2; width multiplies the channels, D = 64 width."
    )
    return resnet


def _widened(widths: Sequence[int], width: float) -> list[int]:
    if not width > 0:
        raise InputError(f"expected width above 0, got {width}")
    return [max(1, round(one * width)) for one in widths]


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


for build in (small_cnn, digits_mlp, cifar_resnet18, *map(_three_stages, (20, 32, 56))):
    ARCHITECTURES.add(build.__name__, build)
