"""Tests for data sets: what --data may name."""
