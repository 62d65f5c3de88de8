"""The mean of several measurements of one run, sample by sample."""

from collections.abc import Sequence

import torch

from maxsup_analysis.estimates import Estimate
from maxsup_analysis.influence import Samples
from maxsup_analysis.measurements import Measurements


def mean_of(measured: Sequence[Measurements]) -> Measurements:
    """The mean of every metric over measurements of the same samples, such as an image set under several corruptions.

    An influence is the mean of the influences, so that the standard error knows that it is the same samples each time.
    A metric that is undefined in one of them is undefined, with its reason.
    """
    first = measured[0]
    assert first.samples is not None
    estimates = {name: _mean([one[name] for one in measured], first.samples) for name in first}
    return Measurements(estimates, first.size, first.notes, first.provenance, first.samples)


def _mean(estimates: Sequence[Estimate], samples: Samples) -> Estimate:
    value = sum(item.value for item in estimates) / len(estimates)
    reason = next((item.reason for item in estimates if item.reason is not None), None)
    influences = [item.influence for item in estimates if item.influence is not None]
    if len(influences) < len(estimates):
        return Estimate(value, float("nan"), reason)
    constant = all(item.standard_error == 0 for item in estimates)
    influence = torch.stack(influences).mean(0)
    return Estimate.of(value, influence, torch.from_numpy(samples.labels), constant=constant)
