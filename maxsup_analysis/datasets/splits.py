"""What splits are called."""

SPLIT_NAMES = {"train": ("train", "training"), "test": ("val", "test", "validation", "valid")}


def usual_split(name: str | None) -> str | None:
    """`train` or `test` for what is often called so, anything else as it is.

    Example:
        >>> usual_split("val"), usual_split("extra"), usual_split(None)
        ('test', 'extra', None)
    """
    return next((usual for usual, names in SPLIT_NAMES.items() if name in names), name)
