"""Tests for figures: what is drawn is what the data say, and the same figure gives the same bytes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from maxsup_analysis.errors import InputError
from maxsup_analysis.figures import FIGURES, FigureOptions, save, svg_of
from maxsup_analysis.figures.metrics import HEADLINES
from maxsup_analysis.figures.spectrum import means_spectrum, within_spectrum
from maxsup_analysis.labels import clean_label
from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.representation import Representation
from tests.clouds import cloud, simplex

DRAWN = [name for name in FIGURES if name != "umap"]


def representation(seed: int = 0, names: tuple[str, ...] | None = None) -> Representation:
    return represent_arrays(*cloud(4, 6, [12] * 4, seed=seed).arrays, class_names=names)


RUNS = {"CE": representation(0), "LS": representation(1)}


def test_templates_show_every_sample_of_three_classes_in_windows_of_one_size():
    figure = FIGURES["templates"].draw(RUNS, FigureOptions(classes=(0, 2, 3)))
    assert [ax.get_title().split("\n")[0] for ax in figure.axes] == ["CE", "LS"]
    for ax in figure.axes:
        assert [len(np.asarray(points.get_offsets())) for points in ax.collections] == [12, 12, 12]
    sides = {round(np.ptp(limits), 9) for ax in figure.axes for limits in (ax.get_xlim(), ax.get_ylim())}
    assert len(sides) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0", "2", "3"]


def test_umap_draws_the_same_samples_of_every_run():
    figure = FIGURES["umap"].draw(RUNS, FigureOptions(max_samples=40))
    for ax in figure.axes:
        assert sum(len(np.asarray(points.get_offsets())) for points in ax.collections) == 40
    assert len(figure.legends[0].get_texts()) == 4


def test_densities_integrate_to_one():
    figure = FIGURES["logits"].draw(RUNS, FigureOptions())
    for ax in figure.axes:
        for patch in ax.patches:
            values, edges, _ = patch.get_data()  # type: ignore[attr-defined]
            assert (values * np.diff(edges)).sum() == pytest.approx(1)


def test_spectra_are_shares_and_a_simplex_is_flat():
    collapsed = represent_arrays(*simplex(4, 6, 5).arrays)
    assert np.allclose(means_spectrum(collapsed), 1 / 3)
    assert within_spectrum(RUNS["CE"]).sum() == pytest.approx(1)


def test_reliability_shows_the_accuracy_of_each_bin_with_its_interval():
    data = cloud(4, 6, [40] * 4)
    figure = FIGURES["reliability"].draw({"CE": represent_arrays(*data.arrays)}, FigureOptions())
    shares = np.exp(data.logits) / np.exp(data.logits).sum(1, keepdims=True)
    confidences, hits = shares.max(1), shares.argmax(1) == data.labels
    bins = np.ceil(confidences * 15)
    ax = figure.axes[0]
    expected = np.array([[confidences[bins == b].mean(), hits[bins == b].mean()] for b in np.unique(bins)])
    assert np.allclose(np.asarray(ax.collections[1].get_offsets()), expected)
    ends = [segment[:, 1] for segment in ax.collections[0].get_segments()]  # type: ignore[attr-defined]
    for b, (low, high) in zip(np.unique(bins), ends, strict=True):
        share, n = hits[bins == b].mean(), (bins == b).sum()
        # Wilson: the probabilities from which the share is as far as 1.96 of their own standard deviations.
        for end in (low, high):
            assert abs(share - end) == pytest.approx(
                1.959964 * np.sqrt(end * (1 - end) / n), rel=1e-6, abs=1e-7
            )
        assert low < high
    # At the temperature, without the samples that it was fitted on.
    legend = figure.axes[1].get_legend()
    assert legend is not None and ", T = " in legend.get_texts()[0].get_text()


def test_reliability_without_a_temperature_or_without_logits():
    collapsed = represent_arrays(*simplex(4, 6, 5).arrays)
    figure = FIGURES["reliability"].draw({"CE": collapsed}, FigureOptions())
    assert "so the colder the better" in figure.axes[1].texts[0].get_text().replace("\n", " ")
    data = cloud(4, 6, [12] * 4)
    bare = represent_arrays(data.features, data.labels)
    with pytest.raises(InputError, match="expected logits or a head in CE, got neither"):
        FIGURES["reliability"].draw({"CE": bare}, FigureOptions())


def test_metrics_have_a_row_each_and_an_interval_a_run():
    figure = FIGURES["metrics"].draw(RUNS, FigureOptions())
    assert len(figure.axes) == len(HEADLINES) and all(len(ax.containers) == 2 for ax in figure.axes)


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, kind: str, suffix: str):
    for name in ("a", "b"):
        save(FIGURES[kind].draw(RUNS, FigureOptions()), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("name", ["$\\frac{$", "\udcff", "a\nb\x00", "x" * 5000, "$" + "{" * 60, "\u202ecod"])
@pytest.mark.parametrize("kind", DRAWN)
def test_any_name_can_be_drawn(kind: str, name: str):
    named = representation(0, (name, "b", "c", "d"))
    svg_of(FIGURES[kind].draw({name: named, "LS": named}, FigureOptions(classes=(0, 1, 2))))


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(InputError, match="expected three different labels"):
        FIGURES["templates"].draw(RUNS, FigureOptions(classes=(0, 1, 9)))
    headless = represent_arrays(torch.randn(30, 4), torch.arange(30) % 3)
    with pytest.raises(InputError, match="use basis=centroids"):
        FIGURES["templates"].draw({"x": headless}, FigureOptions())
    with pytest.raises(InputError, match="expected logits or a head"):
        FIGURES["logits"].draw({"x": headless}, FigureOptions())
    with pytest.raises(InputError, match="at least 10 samples"):
        FIGURES["umap"].draw(RUNS, FigureOptions(max_samples=5))


def test_labels_are_bounded_and_plain():
    assert clean_label("x" * 5000) == "x" * 59 + "…" and "\u202e" not in clean_label("a\u202eb")
