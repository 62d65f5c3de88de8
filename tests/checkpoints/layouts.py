"""Every common layout of a checkpoint, each with what opening it has to give; LAYOUTS is the list."""

from tests.checkpoints import (  # noqa: F401 (each adds its layouts to the list)
    folder_layouts,
    library_layouts,
    maxsup_layouts,
    plain_layouts,
    refused_layouts,
    training_layouts,
)
from tests.checkpoints.layout import LAYOUTS, Built, Layout

__all__ = ["LAYOUTS", "Built", "Layout"]
