"""Tests for opening checkpoints: what attacks the reader, what is broken, and what is merely foreign."""
