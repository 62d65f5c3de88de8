"""Training one classifier with one loss: from a plan to a checkpoint that says what it is.

`TrainingPlan` holds everything that decides the weights, `train` makes them. docs/training.md has every argument.
"""

from maxsup_analysis.training.history import Epoch
from maxsup_analysis.training.plan import TrainingPlan
from maxsup_analysis.training.run import TrainingOutcome, train

__all__ = ["Epoch", "TrainingOutcome", "TrainingPlan", "train"]
