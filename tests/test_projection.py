"""Tests for projections: the planes of the two published recipes, from their descriptions."""

import numpy as np
import pytest
import torch

from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.projection import class_plane, closest_classes, same_samples, umap_coordinates
from tests.clouds import cloud

DATA = cloud(5, 8, [10] * 5)
CLASSES = (0, 2, 4)
REPRESENTATION = represent_arrays(*DATA.arrays)


def test_templates_are_the_plane_of_three_rows_of_the_head():
    """Distances within the plane are those of the orthogonal projection on span(w_b - w_a, w_c - w_a)."""
    plane = class_plane(REPRESENTATION, CLASSES)
    sides = (DATA.weight[[2, 4]] - DATA.weight[0]).T
    projector = sides @ np.linalg.inv(sides.T @ sides) @ sides.T
    chosen = np.concatenate([np.flatnonzero(DATA.labels == k) for k in CLASSES])
    flat = DATA.features[chosen] @ projector
    expected = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    found = torch.cdist(plane.coordinates, plane.coordinates, compute_mode="donot_use_mm_for_euclid_dist")
    assert np.allclose(found.numpy(), expected, atol=1e-10)
    assert np.allclose(plane.coordinates.norm(dim=1).numpy(), np.linalg.norm(flat, axis=1))


def test_centroids_keep_the_distances_between_class_centroids():
    plane = class_plane(REPRESENTATION, CLASSES, basis="centroids", center="mean")
    means = np.array([DATA.features[DATA.labels == k].mean(0) for k in CLASSES])
    found = torch.stack([plane.coordinates[plane.labels == k].mean(0) for k in CLASSES]).numpy()
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(found[i] - found[j]) == pytest.approx(np.linalg.norm(means[i] - means[j]))
    assert np.allclose(found.mean(0), 0) and found[0, 0] > 0 and found[1, 1] > 0


def test_compactness_is_free_of_scale():
    scaled = represent_arrays(7 * DATA.features, DATA.labels, weight=DATA.weight)
    first, second = class_plane(REPRESENTATION, CLASSES), class_plane(scaled, CLASSES)
    assert first.compactness == pytest.approx(second.compactness)


def test_compactness_from_its_words():
    plane = class_plane(REPRESENTATION, CLASSES)
    parts = [plane.coordinates[plane.labels == k].numpy() for k in CLASSES]
    centroids = np.array([part.mean(0) for part in parts])
    within = np.mean([np.mean(((part - part.mean(0)) ** 2).sum(1)) for part in parts])
    assert plane.compactness == pytest.approx(within / np.mean(((centroids - centroids.mean(0)) ** 2).sum(1)))


def test_the_closest_classes_are_chosen():
    centres = np.array([[0.0, 0], [50, 0], [1, 0], [0, 3], [90, 90]])
    labels = np.arange(50) % 5
    features = centres[labels] + 0.01 * np.random.default_rng(0).normal(size=(50, 2))
    assert closest_classes(represent_arrays(features, labels)) == (0, 2, 3)


def test_the_same_samples_are_chosen_each_time():
    assert torch.equal(same_samples(np.arange(100), 10, 3), same_samples(np.arange(100), 10, 3))
    assert same_samples(np.arange(5), 10, 0).tolist() == [0, 1, 2, 3, 4]


def test_samples_are_drawn_by_what_they_are_known_by():
    ids = np.arange(100) * 3
    order = np.random.default_rng(0).permutation(100)
    drawn = {int(number) for number in ids[same_samples(ids, 10, 3)]}
    assert {int(number) for number in ids[order][same_samples(ids[order].astype(float), 10, 3)]} == drawn
    assert {int(number) for number in ids[same_samples(ids, 20, 3)]} > drawn
    assert {int(number) for number in ids[same_samples(ids, 10, 4)]} != drawn


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_umap_does_not_depend_on_the_unit(scale: float):
    features = torch.randn(40, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    power = 2.0 ** round(np.log2(scale))
    assert torch.equal(umap_coordinates(features * power, seed=1), umap_coordinates(features, seed=1))
    assert umap_coordinates(features * scale, seed=1).isfinite().all()


def test_umap_of_one_point_many_times_is_finite():
    assert umap_coordinates(torch.full((20, 3), 1e9, dtype=torch.float64), seed=1).isfinite().all()


def test_umap_leaves_the_number_of_threads_as_it_was():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    umap_coordinates(torch.randn(30, 4).double(), seed=1)
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert after == 1


def test_umap_is_deterministic():
    features = torch.randn(60, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(umap_coordinates(features, seed=1), umap_coordinates(features, seed=1))
