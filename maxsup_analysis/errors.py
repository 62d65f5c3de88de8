"""What can go wrong: input that the user can mend, and numbers that do not exist."""

import errno

# What the system says where a disk, or the share of it that a user has, is full.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# What torch says where an allocation fails; the one of the CPU has no class of its own.
ALLOCATION_FAILED = ("out of memory", "can't allocate memory")
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
    if is_out_of_memory(error):
        said = " ".join(str(error).split()) or "an allocation failed"
        return f"memory ran out ({said[:300]}); free some, use a machine with more, or ask for fewer at once"
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        place = f"cannot write to {error.filename}" if error.filename else "a disk is full"
        where = "there" if error.filename else "where the output goes and in the system's temporary folder"
        return f"{place} ({error.strerror}); make room {where}"
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "expected the name of a file, got one with a NUL byte in it; check the names that were given"
    if isinstance(error, UnicodeEncodeError) and error.reason.startswith("surrogates"):
        return "expected names of text, got one with bytes that are not UTF-8; rename it, or choose another output"
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}"
    return None


def is_out_of_memory(error: Exception) -> bool:
    """Whether the processor or a device had no more memory to give.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("out of range"))
        (True, False)
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in ALLOCATION_FAILED)
    return said or isinstance(error, MemoryError)
