"""Mixup and CutMix: images of a batch blended in pairs, and their targets with them."""

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import one_hot
from torchvision.transforms import v2

from maxsup_analysis.training.plan import TrainingPlan


class Mixing:
    """Blends each image of a batch with its neighbour; one ratio for the whole batch, drawn from Beta(a, a).

    torchvision's MixUp (Zhang et al. 2018) and CutMix (Yun et al. 2019), whose ratio is that of the areas; with both,
    either has half of the batches, as in timm. A class because torchvision's transforms are.
    """

    def __init__(self, mixup: float, cutmix: float) -> None:
        blends = [*([v2.MixUp(alpha=mixup)] if mixup else []), *([v2.CutMix(alpha=cutmix)] if cutmix else [])]
        self.blend = v2.RandomChoice(blends) if len(blends) > 1 else blends[0]

    def __call__(
        self, images: Float[Tensor, "B C H W"], labels: Int64[Tensor, "B L"], classes: int
    ) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B L K"]]:
        """The images, and for each of L sets of labels the shares of the classes, which sum to one."""
        shares = one_hot(labels, classes).to(images.dtype)
        images, mixed = self.blend(images, shares.flatten(1))
        return images, mixed.view_as(shares)


def mixing_of(plan: TrainingPlan) -> Mixing | None:
    """That of a plan; None where nothing is mixed."""
    return Mixing(plan.mixup, plan.cutmix) if plan.mixup or plan.cutmix else None
