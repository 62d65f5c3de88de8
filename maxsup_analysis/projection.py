"""Two coordinates for each sample: the plane of three classes, and UMAP."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from maxsup_analysis.errors import InputError
from maxsup_analysis.halves import drawn_ids
from maxsup_analysis.representation import Representation
from maxsup_analysis.rows import all_rows
from maxsup_analysis.surroundings import torch_threads, undisturbed
from maxsup_analysis.ties import first_largest

Basis = Literal["templates", "centroids"]
Center = Literal["none", "mean"]
PCA_DIMENSIONS = 50
ROUNDED = 1e-12  # of a distance between means, from their squared lengths and product
FEWEST_FOR_UMAP = 10


@dataclass(frozen=True)
class Plane:
    """M samples of three classes on a plane.

    compactness: mean squared distance of the points from the centroid of their class, divided by the mean
    squared distance of the three centroids from their centre. Free of scale, so that axes cannot flatter.
    """

    coordinates: Float64[Tensor, "M 2"]
    labels: Int64[Tensor, " M"]
    compactness: float


@undisturbed()
def class_plane(
    representation: Representation,
    classes: Sequence[int],
    *,
    basis: Basis = "templates",
    center: Center = "none",
    per_class: int | None = None,
) -> Plane:
    """Features of three classes on the plane that the classes span.

    basis: "templates" is the plane through the three rows of the head (Mueller et al. 2019); "centroids" that
    through the three class centroids, as in the code behind the MaxSup paper's figures.
    center: "mean" subtracts the mean of the plotted samples, classes weighing equally.
    per_class: the first so many samples of each class, or all.
    """
    require_three(representation, classes)
    rows = all_rows(representation.blocks)
    members = [(rows.labels == label).nonzero()[:per_class, 0] for label in classes]
    features, labels = rows.features[torch.cat(members)], rows.labels[torch.cat(members)]
    centroids = torch.stack([rows.features[part].mean(0) for part in members])
    axes = _template_axes(representation, classes) if basis == "templates" else _centroid_axes(centroids)
    origin = centroids.mean(0) if center == "mean" else torch.zeros_like(centroids[0])
    coordinates = (features - origin) @ axes.T
    return Plane(coordinates, labels, _compactness(coordinates, labels, classes))


@undisturbed()
def closest_classes(representation: Representation) -> tuple[int, int, int]:
    """The two classes whose means are closest, and the class nearest to both: the ones that get confused."""
    if len(representation.occupied) < 3:
        raise InputError(f"expected three classes with samples, got {len(representation.occupied)}")
    means = representation.class_means.centred_means
    distances = torch.cdist(means, means).fill_diagonal_(torch.inf)
    first, second = divmod(_first_smallest(distances.flatten()), len(means))
    both = distances[first] + distances[second]
    both[[first, second]] = torch.inf
    chosen = sorted(int(representation.occupied[k]) for k in (first, second, _first_smallest(both)))
    return chosen[0], chosen[1], chosen[2]


def _first_smallest(distances: Float64[Tensor, " P"]) -> int:
    """Where the smallest is, the first of those that are equal up to rounding."""
    return int(first_largest(-distances[None], ROUNDED * distances.amin()[None]))


def same_samples(ids: np.ndarray, count: int, seed: int) -> Int64[Tensor, " M"]:
    """The places of the samples to draw, in order: by their ids alone, so the same samples of every checkpoint."""
    chosen = np.argsort(drawn_ids(ids, seed), kind="stable")[:count]
    return torch.from_numpy(np.sort(chosen))


@undisturbed()
def umap_coordinates(features: Float64[Tensor, "M D"], *, seed: int) -> Float64[Tensor, "M 2"]:
    """PCA to 50 dimensions, then UMAP with its default settings; deterministic for a seed on one machine."""
    if len(features) < FEWEST_FOR_UMAP:
        raise InputError(f"expected at least {FEWEST_FOR_UMAP} samples for UMAP, got {len(features)}")
    # numba, beneath UMAP, sets OpenMP's number of threads for the whole process, and with it torch's.
    with warnings.catch_warnings(), torch_threads(1):
        # The seed costs UMAP its threads, and it says so each time; numba warns about its own future.
        warnings.simplefilter("ignore")
        from sklearn.decomposition import PCA
        from umap import UMAP

        points = _of_ordinary_size(features).numpy()
        if min(points.shape) > PCA_DIMENSIONS:
            points = PCA(PCA_DIMENSIONS, svd_solver="full").fit_transform(points)
        neighbours = min(15, len(points) - 1)
        coordinates = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(points)
    return torch.from_numpy(np.asarray(coordinates, dtype=np.float64))


def _of_ordinary_size(features: Float64[Tensor, "M D"]) -> Float64[Tensor, "M D"]:
    """Features about their mean, divided by the power of two next to the largest: UMAP computes in float32.

    Distances keep their proportions, and features of an ordinary size all of their digits.
    """
    centred = features - features.mean(0)
    _, exponent = math.frexp(float(centred.abs().max()))
    return torch.ldexp(centred, torch.tensor(-exponent))


def require_three(representation: Representation, classes: Sequence[int]) -> None:
    """Raise InputError unless these are three different classes that have samples."""
    there = set(representation.occupied.tolist())
    if len(set(classes)) != 3 or not set(classes) <= there:
        raise InputError(
            f"expected three different labels of classes with samples, got {', '.join(map(str, classes))}; "
            f"labels run from 0 to {len(representation.class_names) - 1}"
        )


def _template_axes(representation: Representation, classes: Sequence[int]) -> Float64[Tensor, "2 D"]:
    if representation.head is None:
        raise InputError("expected a head for basis=templates, got none; use basis=centroids")
    first, second, third = representation.head.weight[list(classes)]
    sides = torch.stack([second - first, third - first])
    axes, lengths = torch.linalg.qr((sides / sides.norm(dim=1, keepdim=True)).T)
    # Signs so that the second class lies to the right and the third above.
    return (axes * lengths.diagonal().sign()).T


def _centroid_axes(centroids: Float64[Tensor, "3 D"]) -> Float64[Tensor, "2 D"]:
    centred = centroids - centroids.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    # The sign of a singular vector is arbitrary: the first class lies to the right, the second above.
    corners = (centred @ axes.T)[[0, 1], [0, 1]]
    return axes * torch.where(corners < 0, -1.0, 1.0)[:, None]


def _compactness(
    coordinates: Float64[Tensor, "M 2"], labels: Int64[Tensor, " M"], classes: Sequence[int]
) -> float:
    parts = [coordinates[labels == label] for label in classes]
    centroids = torch.stack([part.mean(0) for part in parts])
    within = torch.stack([(part - part.mean(0)).square().sum(1).mean() for part in parts]).mean()
    return float(within / (centroids - centroids.mean(0)).square().sum(1).mean())
