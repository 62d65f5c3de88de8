"""A few samples as metrics see them: labels, features, logits, and where they lie among the class means."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from maxsup_analysis.errors import NO_FEATURES, OUT_OF_RANGE, Undefined
from maxsup_analysis.halves import is_held_out
from maxsup_analysis.lazy import Remembering, lazy
from maxsup_analysis.moments import are_ordinary, directions_of, lengths_of
from maxsup_analysis.representation import ClassVectors, Representation
from maxsup_analysis.rows import Rows
from maxsup_analysis.span import Span
from maxsup_analysis.ties import TIED, first_largest

# Scores of products that are closer than this share of the longest vectors are looked at again in float64.
DOUBTFUL = {torch.float64: TIED, torch.float32: 1e-5}
# Lengths whose squares float32 holds, with a dozen digits to spare.
SINGLE_RANGE = (1e-13, 1e13)
# Of sums, with respect to the length of what is summed.
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-6}


@dataclass(frozen=True)
class Tile(Remembering):
    """B samples of a representation; everything is computed once, when a metric asks for it.

    coordinates: where samples lie in the span of the class means, from their own, where that is known.
    """

    rows: Rows
    representation: Representation
    coordinates: Float[Tensor, "B R"] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> Int64[Tensor, " B"]:
        """The true classes."""
        return self.rows.labels

    @property
    def features(self) -> Float64[Tensor, "B D"]:
        """Penultimate features; raises Undefined where there are logits alone."""
        if self.rows.features.shape[1] == 0:
            raise Undefined(NO_FEATURES)
        return self._points

    @lazy
    def _points(self) -> Float64[Tensor, "B D"]:
        return self.rows.features.double()

    @lazy
    def logits(self) -> Float64[Tensor, "B K"]:
        """The stored logits, else what the head makes of the features; raises Undefined without either."""
        if self.rows.logits is not None:
            return self.rows.logits.double()
        if self.representation.head is None:
            raise Undefined("there are neither logits nor a head to compute them from")
        return self.representation.head.logits(self.features)

    @lazy
    def true_logits(self) -> Float64[Tensor, " B"]:
        """The logit of the true class."""
        return self.logits.gather(1, self.labels[:, None])[:, 0]

    @lazy
    def mean_logits(self) -> Float64[Tensor, " B"]:
        """The average logit of each sample."""
        return self.logits.mean(1)

    @lazy
    def centred_logits(self) -> Float64[Tensor, "B K"]:
        """Logits minus the average logit of their sample."""
        return self.logits - self.mean_logits[:, None]

    @lazy
    def top_logits(self) -> Float64[Tensor, " B"]:
        """The largest logit."""
        return self.logits.gather(1, self.predictions[:, None])[:, 0]

    @lazy
    def runners_up(self) -> Float64[Tensor, " B"]:
        """The largest logit but that of the prediction; minus infinity where there is no other class."""
        return self._rivals[0]

    @lazy
    def odds_against(self) -> Float64[Tensor, " B"]:
        """The probability of all other classes over that of the prediction; 0 where it is too small for a float64."""
        return self._rivals[1].sum(1)

    @lazy
    def probabilities(self) -> Float64[Tensor, "B K"]:
        """The softmax of the logits."""
        confidences = self.confidences[:, None]
        return (self._rivals[1] * confidences).scatter_(1, self.predictions[:, None], confidences)

    @lazy
    def probability_gaps(self) -> Float64[Tensor, "B K"]:
        """Probabilities minus the label's one-hot vector."""
        return self.probabilities.scatter_add(1, self.labels[:, None], -torch.ones(len(self), 1).double())

    @lazy
    def confidences(self) -> Float64[Tensor, " B"]:
        """The probability of the prediction."""
        return (1 + self.odds_against).reciprocal_()

    @lazy
    def log_probabilities(self) -> Float64[Tensor, "B K"]:
        """Log of the softmax of the logits, of probabilities that are too small for a float64 too."""
        return self.logits.log_softmax(1)

    @lazy
    def true_log_probabilities(self) -> Float64[Tensor, " B"]:
        """Log of the probability of the true class."""
        return self.true_logits - self.top_logits - self.odds_against.log1p()

    @lazy
    def others(self) -> Float64[Tensor, "B K"]:
        """The logits with minus infinity in place of the prediction's."""
        return self.logits.scatter(1, self.predictions[:, None], -torch.inf)

    @lazy
    def _rivals(self) -> tuple[Float64[Tensor, " B"], Float64[Tensor, "B K"]]:
        """The largest of the other logits, and the odds of each class against the prediction; 0 for itself."""
        others = self.others
        return others.amax(1), (others - self.top_logits[:, None]).exp_()

    @lazy
    def predictions(self) -> Int64[Tensor, " B"]:
        """The class of the largest logit; of several equal ones, the first.

        Stored logits are equal where they are the same number, those that the head makes up to rounding.
        """
        stored = self.rows.logits
        return first_largest(self.logits, self.logit_rounding) if stored is None else stored.max(1).indices

    @lazy
    def logit_rounding(self) -> Float64[Tensor, " B"]:
        """How much rounding may tell equal logits apart: not at all where they are stored."""
        if self.rows.logits is not None:
            return torch.zeros(len(self), dtype=torch.float64)
        head = self.representation.known_head
        bias = 0.0 if head.bias is None else float(head.bias.abs().max())
        return TIED * (self.lengths * float(head.lengths.max()) + bias)

    @lazy
    def predictions_without_bias(self) -> Int64[Tensor, " B"]:
        """The class whose row of the head has the largest product with the features; of equal ones, the first."""
        head = self.representation.known_head
        scores = self.logits if head.bias is None else self.logits - head.bias
        best, chosen = scores.max(1)
        others = scores.scatter(1, chosen[:, None], -torch.inf).amax(1)
        # Also where something has overflowed, or there is no other.
        clear = best - others > 2 * self._distance_to_products(scores)
        unclear = (~clear).nonzero()[:, 0]
        if len(unclear):
            chosen = chosen.index_copy(0, unclear, self._largest_products(unclear))
        return chosen

    def _distance_to_products(self, scores: Float64[Tensor, "B K"]) -> Float64[Tensor, " B"]:
        """How far scores may be from the products of features and head: stored logits are rounded, or another head's.

        The sum of differences with random signs is as large as the largest of them with probability 1/2 at least; that
        all 32 sums are smaller has a probability below 1e-9.
        """
        signs, weighed = self.representation.known_head.with_signs
        sums = (scores @ signs).sub_(self.product_features @ weighed.to(self.precision)).abs_()
        return sums.amax(1) + ROUNDING[self.precision] * torch.linalg.vector_norm(scores, dim=1)

    def _largest_products(self, which: Int64[Tensor, " S"]) -> Int64[Tensor, " S"]:
        head = self.representation.known_head
        features = self.rows.features.index_select(0, which).to(self.precision)
        weight = head.weight if self.precision == torch.float64 else head.single
        lengths = torch.linalg.vector_norm(features, dim=1)

        def in_full(doubtful: Tensor) -> Tensor:
            return self.features[which[doubtful]] @ head.weight.T

        return _largest(features @ weight.T, lengths * float(head.lengths.max()), in_full)

    @lazy
    def correct(self) -> Float64[Tensor, " B"]:
        """1 where the prediction is the label, else 0."""
        return (self.predictions == self.labels).double()

    @lazy
    def held_out(self) -> Bool[Tensor, " B"]:
        """Which samples a temperature or a power is fitted on; the others judge it."""
        return is_held_out(self.rows.ids)

    @lazy
    def at_temperature(self) -> "Tile":
        """The samples that are not held out, their logits divided by the fitted temperature; without features."""
        temperature, chosen = self.representation.temperature, ~self.held_out
        if isinstance(temperature, Undefined):
            raise Undefined(str(temperature))
        assert temperature is not None, "a metric that looks at the temperature says so in `needs`"
        features = self.rows.features.new_empty(int(chosen.sum()), 0)
        logits = self.logits[chosen] / temperature
        return Tile(
            Rows(self.rows.ids[chosen.numpy()], self.labels[chosen], features, logits), self.representation
        )

    @lazy
    def deviations(self) -> Float64[Tensor, "B D"]:
        """Features minus the mean of their class."""
        return self.representation.means.features.deviations(self._points, self.labels)

    @lazy
    def product_features(self) -> Float[Tensor, "B D"]:
        """Features in the precision of products."""
        return self.rows.features.to(self.precision)

    @lazy
    def product_deviations(self) -> Float[Tensor, "B D"]:
        """Deviations in the precision of products; in float32 from the start where that is precise enough."""
        if not self.is_single:
            return self.deviations.to(self.precision)
        return self.representation.means.features.deviations(self.product_features, self.labels)

    @lazy
    def squares(self) -> Float64[Tensor, " B"]:
        """Squared length of the deviations, in float32 where these are computed in it from the start."""
        deviations = self.product_deviations if self.is_single else self.deviations
        return torch.linalg.vector_norm(deviations, dim=1).double().square_()

    @lazy
    def lengths(self) -> Float64[Tensor, " B"]:
        """Euclidean lengths of the features."""
        lengths = torch.linalg.vector_norm(self.rows.features, dim=1, dtype=torch.float64)
        return lengths if are_ordinary(lengths) else lengths_of(self.features)

    @lazy
    def product_lengths(self) -> Float64[Tensor, " B"]:
        """The same, as precise as products; in float32, four times as fast, where it holds the squares."""
        if self.is_single:
            lengths = torch.linalg.vector_norm(self.product_features, dim=1).double()
            if are_ordinary(lengths, *SINGLE_RANGE):
                return lengths
        return self.lengths

    @lazy
    def has_direction(self) -> Bool[Tensor, " B"]:
        """Which features are not zero vectors."""
        return self.lengths > 0

    @lazy
    def directions(self) -> Float64[Tensor, "B D"]:
        """Features scaled to length one; zero vectors stay zero."""
        return directions_of(self.features, self.lengths)

    def along_direction(self, vectors: ClassVectors) -> Float64[Tensor, " B"]:
        """The product of each direction with the vector of its class; 0 for zero vectors."""
        if not are_ordinary(self.lengths):
            return row_products(self.directions, vectors.vectors.index_select(0, self.labels))
        chosen = vectors.single if self.precision == torch.float32 else vectors.vectors
        products = row_products(self.product_deviations, chosen.index_select(0, self.labels)).double()
        return products.add_(vectors.at_means.index_select(0, self.labels)).div_(self.lengths)

    def distances_to(self, which: Tensor, labels: Int64[Tensor, " S"]) -> Float64[Tensor, " S"]:
        """How far some of the samples are from the means of other classes."""
        features = (self.product_features if self.is_single else self.features)[which]
        deviations = self.representation.means.features.deviations(features, labels)
        return torch.linalg.vector_norm(deviations, dim=1).double()

    @lazy
    def direction_deviations(self) -> Float64[Tensor, "B D"]:
        """Unit-length features minus the mean of their class; zero for zero vectors."""
        members = self.has_direction
        deviations = self.representation.means.directions.deviations(self.directions, self.labels)
        return deviations if members.all() else deviations * members[:, None]

    @lazy
    def product_direction_deviations(self) -> Float[Tensor, "B D"]:
        """The same in the precision of products; in float32 from the start where that is precise enough."""
        means = self.representation.means
        if not (self.is_single and means.directions_are_loose and are_ordinary(self.lengths)):
            return self.direction_deviations.to(self.precision)
        directions = self.product_features / self.lengths.float()[:, None]
        return means.directions.deviations(directions, self.labels)

    @lazy
    def direction_squares(self) -> Float64[Tensor, " B"]:
        """Squared length of the deviations of the directions."""
        return torch.linalg.vector_norm(self.direction_deviations, dim=1).square_()

    @property
    def precision(self) -> torch.dtype:
        """Of products with deviations."""
        return self.representation.means.precision(self.rows.precision)

    @property
    def is_single(self) -> bool:
        """Whether deviations for products are computed in float32 from the start."""
        return self.precision == torch.float32 and self.representation.means.features_are_loose

    @property
    def span(self) -> Span:
        """The span of the class means, in the precision of products with it."""
        return self._of_my_precision(self.representation.span)

    @property
    def direction_span(self) -> Span:
        """The span of the class means of the directions, in the precision of products with it."""
        return self._of_my_precision(self.representation.direction_span)

    @lazy
    def nearest(self) -> Int64[Tensor, " B"]:
        """The class whose mean is nearest; of several equally near, the first."""
        # |h - mu_k|^2 = |h - mu_G|^2 - 2 (h - mu_G) m_k + |m_k|^2, and only the last two depend on k.
        places, corners, halves = self._among_means
        if not halves.isfinite().all():
            raise Undefined(OUT_OF_RANGE)
        scores = torch.addmm(-halves, places, corners.T)
        sizes = torch.linalg.vector_norm(places, dim=1).square_() + 2 * halves.max()
        return self.representation.occupied[_largest(scores, sizes, self._nearness)]

    @property
    def _among_means(self) -> tuple[Float[Tensor, "B E"], Float[Tensor, "M E"], Float[Tensor, " M"]]:
        """Features and class means as seen from the average of these, and half their squared lengths.

        Along the axes of the span where it is known already how samples deviate along these, which are fewer.
        """
        if self.coordinates is None:
            means = self.representation.class_means
            corners = means.centred_means if self.precision == torch.float64 else means.single_centred
            return self._from_average, corners, means.halves.to(self.precision)
        corners = self.span.coordinates
        own = torch.searchsorted(self.representation.occupied, self.labels)
        return self.coordinates + corners.index_select(0, own), corners, self.span.halves

    @property
    def _from_average(self) -> Float[Tensor, "B D"]:
        """Features as seen from the average of the class means; in float32 from the start where that is precise."""
        means = self.representation.class_means
        if self.is_single:
            return self.product_features - (means.origin + means.average).float()
        return (self.features - means.origin).sub_(means.average).to(self.precision)

    def _nearness(self, which: Tensor) -> Float64[Tensor, "S M"]:
        """What `nearest` compares, in float64."""
        means = self.representation.class_means
        points = (self.rows.features[which].double() - means.origin) - means.average
        return points @ means.centred_means.T - means.halves

    def _of_my_precision(self, span: Span) -> Span:
        return span if self.precision == torch.float64 else span.single


def row_products(first: Float[Tensor, "B D"], second: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
    """The product of each row with the other's; NumPy takes half the time of torch, which keeps what it sums."""
    return torch.from_numpy(np.einsum("ij,ij->i", first.numpy(), second.numpy()))


def _largest(
    scores: Float[Tensor, "B K"], sizes: Float[Tensor, " B"], in_full: Callable[[Tensor], Tensor]
) -> Int64[Tensor, " B"]:
    """Where the largest score of each row is, the first of those that are equal up to rounding.

    Scores that are too close to tell apart, with respect to the sizes of what was multiplied, are computed again in
    float64.
    """
    best, chosen = scores.max(1)
    if scores.shape[1] > 1:
        second = scores.scatter_(1, chosen[:, None], -torch.inf).amax(1)
        # Also where float32 has overflowed.
        doubtful = ~(best - second > DOUBTFUL[scores.dtype] * sizes)
        if doubtful.any():
            chosen[doubtful] = first_largest(in_full(doubtful), TIED * sizes[doubtful].double())
    return chosen
