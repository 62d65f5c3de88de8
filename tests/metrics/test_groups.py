"""Tests for groups: every metric is in one family, and a name that is none is answered with the nearest."""

from dataclasses import replace

import pytest
import torch

from maxsup_analysis import InputError
from maxsup_analysis.catalogue import conventions_of
from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.metrics import METRICS
from maxsup_analysis.metrics.groups import chosen, groups
from maxsup_analysis.metrics.metric import OrderMetric, SampleMetric
from maxsup_analysis.rows import Rows
from maxsup_analysis.tile import Tile
from tests.clouds import cloud

FAMILIES = ("variation", "neural_collapse", "conditional", "spectrum", "calibration", "selection", "logits")


def test_families_share_out_all_metrics():
    named = groups()
    assert sorted(name for family in FAMILIES for name in named[family]) == sorted(METRICS)
    assert named["nc"] == named["neural_collapse"] and set(named["standard"]) < set(named["all"])


def test_groups_and_metrics_by_name_come_once_and_in_order():
    found = [metric.name for metric in chosen(["nll", "nc", "nc1_pinv"])]
    assert found == [*groups()["nc"], "nll"]
    assert chosen([]) == chosen(["standard"])


def test_a_name_that_is_none():
    with pytest.raises(
        InputError, match=r"no group and no metric is called 'nc1_pin'; did you mean 'nc1_pinv'\?"
    ):
        chosen(["nc1_pin"])


def test_every_published_convention_of_neural_collapse_says_how_it_differs():
    listed = {one.name for one in conventions_of(METRICS.values())}
    for name in (
        "nc1_papyan",
        "nc1_zhu",
        "nc2_etf_head_centred",
        "nc3_self_duality_norm",
        "nc4_mismatch",
        "gnc1",
    ):
        assert name in listed


def test_metrics_of_samples_that_look_at_features_say_so():
    """Those that do not are given wide tiles of logits, and would make wide copies of the features."""
    data = cloud(4, 5, [9, 8, 7, 6])
    rows = next(iter(represent_arrays(*data.arrays).blocks))
    representation = replace(represent_arrays(*data.arrays), temperature=1.5, power=2)
    blind = Rows(rows.ids, rows.labels, torch.full_like(rows.features, torch.nan), rows.logits)
    for metric in METRICS.values():
        if isinstance(metric, SampleMetric | OrderMetric) and not {"features", "nearest"} & set(metric.needs):
            look = metric.totals if isinstance(metric, SampleMetric) else metric.columns
            assert torch.equal(look(Tile(blind, representation)), look(Tile(rows, representation))), (
                metric.name
            )
