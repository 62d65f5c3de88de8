"""Losses to train with, as functions per sample and as drop-in modules; importing this package fills `LOSSES`."""

# The order of these imports is the order of the losses wherever they are listed.
from maxsup_analysis.losses import plain, smoothing, maxsup, online, zipf, penalties  # isort: skip
from maxsup_analysis.losses import focal, normalised, margins, poly, disturbed  # isort: skip
from maxsup_analysis.losses.base import Loss
from maxsup_analysis.losses.build import build_loss, validate_loss
from maxsup_analysis.losses.disturbed import DisturbLabelLoss
from maxsup_analysis.losses.entry import LOSSES, LossEntry
from maxsup_analysis.losses.focal import FocalLoss, SampleDependentFocalLoss
from maxsup_analysis.losses.functional import (
    cross_entropy,
    error_amplification,
    label_smoothing,
    max_suppression,
    regularisation,
)
from maxsup_analysis.losses.margins import AdaptiveConditionalSmoothingLoss, MarginLabelSmoothingLoss
from maxsup_analysis.losses.maxsup import (
    ErrorAmplificationLoss,
    ErrorAmplificationMaxLoss,
    MaxSupLoss,
    RegularisationLoss,
)
from maxsup_analysis.losses.normalised import CosineSoftmaxLoss, LogitNormLoss
from maxsup_analysis.losses.online import OnlineLabelSmoothingLoss
from maxsup_analysis.losses.penalties import ConfidencePenaltyLoss, LogitPenaltyLoss
from maxsup_analysis.losses.plain import CrossEntropyLoss
from maxsup_analysis.losses.poly import Poly1Loss
from maxsup_analysis.losses.schedule import linear_schedule
from maxsup_analysis.losses.smoothing import LabelSmoothingLoss, WrongClassSmoothingLoss
from maxsup_analysis.losses.targets import true_logits
from maxsup_analysis.losses.zipf import ZipfLabelSmoothingLoss

__all__ = [
    "LOSSES",
    "AdaptiveConditionalSmoothingLoss",
    "ConfidencePenaltyLoss",
    "CosineSoftmaxLoss",
    "CrossEntropyLoss",
    "DisturbLabelLoss",
    "ErrorAmplificationLoss",
    "ErrorAmplificationMaxLoss",
    "FocalLoss",
    "LabelSmoothingLoss",
    "LogitNormLoss",
    "LogitPenaltyLoss",
    "Loss",
    "LossEntry",
    "MarginLabelSmoothingLoss",
    "MaxSupLoss",
    "OnlineLabelSmoothingLoss",
    "Poly1Loss",
    "RegularisationLoss",
    "SampleDependentFocalLoss",
    "WrongClassSmoothingLoss",
    "ZipfLabelSmoothingLoss",
    "build_loss",
    "cross_entropy",
    "disturbed",
    "error_amplification",
    "focal",
    "label_smoothing",
    "linear_schedule",
    "margins",
    "max_suppression",
    "maxsup",
    "normalised",
    "online",
    "penalties",
    "plain",
    "poly",
    "regularisation",
    "smoothing",
    "true_logits",
    "validate_loss",
    "zipf",
]
