"""Tests for feature stores."""
