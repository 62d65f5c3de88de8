"""The share of samples that a model gets right."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from maxsup_analysis.datasets import Samples, open_data
from maxsup_analysis.datasets.splits import WHOLE
from maxsup_analysis.errors import InputError
from maxsup_analysis.features import workers_for
from maxsup_analysis.hooks import evaluated, logits_of
from maxsup_analysis.loading import Loader
from maxsup_analysis.preprocessing import Preprocessing
from maxsup_analysis.training.learner import Learner, channels_last
from maxsup_analysis.training.plan import TrainingPlan

BATCH = 512


@dataclass(frozen=True)
class Evaluation:
    """Samples to judge a model by, and how they are prepared for it."""

    samples: Samples
    preprocessing: Preprocessing
    workers: int

    def accuracies(self, learner: Learner) -> list[float]:
        """Of the weights, and of their average where there is one."""
        return [self._accuracy(model, learner) for model in learner.models]

    def _accuracy(self, model: nn.Module, learner: Learner) -> float:
        team, right, count = learner.team, 0, 0
        loader = Loader(self.samples.reader(self.preprocessing), self.workers)
        with evaluated(model), torch.no_grad(), learner.autocast():
            for fetched in loader.batches(self._parts(team.rank, team.world)):
                images = self.preprocessing.normalised(fetched.images.to(team.device))
                found = logits_of(model(channels_last(images))).argmax(1).cpu()
                right += int((found == self.samples.labels[fetched.ids]).sum())
                count += len(fetched.ids)
        right_of_all, count_of_all = team.summed([right, count])
        return right_of_all / max(count_of_all, 1)

    def _parts(self, rank: int, world: int) -> Sequence[Sequence[int]]:
        mine = range(len(self.samples))[rank::world]
        return [mine[start : start + BATCH] for start in range(0, len(mine), BATCH)]


def evaluation_of(
    plan: TrainingPlan, class_names: Sequence[str], preprocessing: Preprocessing
) -> Evaluation | None:
    """The test split of a plan; None where it names none."""
    if plan.test_split is None:
        return None
    samples = open_data(plan.data, plan.test_split, plan.data_dir)
    if samples.split == WHOLE != plan.test_split:
        raise InputError(
            f"expected a split {plan.test_split} of {plan.data} that is not trained on, but the data have no splits; "
            "leave test_split out"
        )
    if tuple(samples.class_names) != tuple(class_names):
        raise InputError(
            f"expected the classes of {plan.split} in {plan.test_split} too, got others; check data and test_split"
        )
    return Evaluation(samples, preprocessing, workers_for(samples, plan.workers))
