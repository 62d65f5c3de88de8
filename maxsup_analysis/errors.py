"""What can go wrong: input that the user can mend, and numbers that do not exist."""

import errno

# What the system says where a disk, or the share of it that a user has, is full.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
OUT_OF_RANGE = "squares of the features leave the range of float64; scale them"
NO_FEATURES = "there are no features, only logits"


class InputError(ValueError):
    """Something given by the user does not fit.

    The message is one line that says what was expected, what came and what to do next; the command line
    prints it as it is and exits with 2.
    """


class Undefined(ArithmeticError):
    """A metric has no value on these samples; the message says why. It becomes NaN with that reason."""


class NotSmooth(ArithmeticError):
    """A metric has a value but no derivative on these samples, hence no standard error."""

    def __init__(self, value: float, reason: str) -> None:
        super().__init__(reason)
        self.value = value


def sentence_of(error: Exception) -> str | None:
    """What to tell a user of input or a system that failed; None where the error is one of the program's own.

    Example:
        >>> sentence_of(FileNotFoundError(2, "No such file or directory", "a.pt"))
        'a.pt: No such file or directory'
        >>> sentence_of(OSError(28, "No space left on device"))
        "a disk is full (No space left on device); make room where the output goes and in the system's temporary folder"
    """
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        place = f"cannot write to {error.filename}" if error.filename else "a disk is full"
        where = "there" if error.filename else "where the output goes and in the system's temporary folder"
        return f"{place} ({error.strerror}); make room {where}"
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}"
    return None
