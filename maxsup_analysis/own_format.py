"""What a checkpoint in this package's own format says of its model, as far as a file may say it."""

import shlex

from maxsup_analysis.architectures.accepted import ACCEPTED, MOST_CHANNELS, MOST_SIDE
from maxsup_analysis.preprocessing import CONVENTIONS, INTERPOLATIONS, Preprocessing
from maxsup_analysis.stated import Stated

# Of a channel's mean and deviation; values of pixels are from 0 to 1.
MOST_MEAN, LEAST_DEVIATION = 1e3, 1e-6


def own_architecture(own: Stated) -> str | None:
    """The architecture that it names, where it is one that is known here."""
    named = own.item("architecture", "name")
    return named.among(ACCEPTED, "") if named is not None and named.is_among(ACCEPTED) else None


def refused_architecture(own: Stated) -> str | None:
    """Why the architecture that it names is not taken, with what the user would have to type; None where it is."""
    named = own.item("architecture", "name")
    if named is None or named.is_among(ACCEPTED):
        return None
    words = typed_arguments(own.item("architecture", "arguments"))
    return str(named.refused(
        "which is no architecture that a file may choose; where you trust that code or folder, give "
        f"{named.typed('--model', 'NAME')}{words}"
    ))  # fmt: skip


def typed_arguments(arguments: Stated | None) -> str:
    """The flag with which the user says the same; nothing where there are none."""
    given = [f"{name.label}={value}" for name, value in arguments.entries()] if arguments is not None else []
    return f" --model-args {shlex.quote(','.join(given))}" if given else ""


def own_preprocessing(own: Stated) -> Preprocessing | None:
    """How images are to be prepared; None where nothing is said, InputError where it is not sound."""
    described = own.item("preprocessing")
    if described is None:
        return None
    # The first version of the format has the size beside it.
    size = described.item("size") or own.item("input_size")
    mean, std, resize = (described.item(name) for name in ("mean", "std", "resize"))
    if size is None or mean is None or std is None:
        raise described.refused("expected its size, mean and std; give --image-size, --mean and --std")
    named, whose, turned = (described.item(name) for name in ("interpolation", "convention", "bgr"))
    return Preprocessing(
        _size(size),
        tuple(part.real(-MOST_MEAN, MOST_MEAN) for part in mean.parts(MOST_CHANNELS)),
        tuple(part.real(LEAST_DEVIATION, MOST_MEAN) for part in std.parts(MOST_CHANNELS)),
        None if resize is None else _resize(resize),
        "bilinear" if named is None else named.word(INTERPOLATIONS, "give --interpolation"),
        "torchvision" if whose is None else whose.word(CONVENTIONS, "save it with a version that knows it"),
        turned is not None and turned.flag(),
    )


def _size(stated: Stated) -> tuple[int, int, int]:
    parts = stated.parts(3)
    if len(parts) != 3:
        raise stated.refused("expected channels, height and width")
    return parts[0].whole(1, MOST_CHANNELS), parts[1].whole(1, MOST_SIDE), parts[2].whole(1, MOST_SIDE)


def _resize(stated: Stated) -> int | tuple[int, int]:
    """The shorter side, or both."""
    if not stated.is_list:
        return stated.whole(1, MOST_SIDE)
    parts = stated.parts(2)
    if len(parts) != 2:
        raise stated.refused("expected height and width")
    return parts[0].whole(1, MOST_SIDE), parts[1].whole(1, MOST_SIDE)
