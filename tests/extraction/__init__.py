"""Tests for extraction: from images to a feature store, whatever happens on the way."""
