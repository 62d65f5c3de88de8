"""Measure whether the representation of a classifier collapses."""
