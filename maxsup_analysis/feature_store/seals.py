"""JSON documents that carry their own checksum, so that a flipped bit in one is noticed."""

import hashlib
import json
from collections.abc import Mapping

SEAL = "sha256_of_the_rest"


class BrokenSeal(ValueError):
    """The document is not what was written."""


def canonical(document: object) -> bytes:
    """The one way in which a document is written down for a checksum."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest(document: object) -> str:
    """SHA-256 of a document.

    Example:
        >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
        True
    """
    return hashlib.sha256(canonical(document)).hexdigest()


def sealed(document: Mapping[str, object]) -> bytes:
    """The document as readable JSON, with its checksum as the last entry."""
    return (json.dumps({**document, SEAL: digest(document)}, indent=2, allow_nan=False) + "\n").encode()


def unsealed(content: bytes) -> dict:
    """What was sealed; raises BrokenSeal where that is not what the checksum speaks of."""
    try:
        document = json.loads(content)
        seal = document.pop(SEAL)
        # Only the bytes that `sealed` writes: JSON can say the same thing in many ways.
        if seal != digest(document) or sealed(document) != content:
            raise BrokenSeal("its checksum differs")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as reason:
        raise reason if isinstance(reason, BrokenSeal) else BrokenSeal("it is no sealed JSON") from None
    return document
