"""Names from files and users, made fit to be shown."""

import hashlib
import re
import unicodedata

LIMIT = 60
# Control, format (bidirectional overrides, zero widths), surrogate, private use, unassigned; line separators.
UNSHOWABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Letters and marks without a shape: Hangul fillers, the blank of Braille, joiners, inherent vowels of Khmer.
SHAPELESS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
# Bytes of the name of a file, less what is put behind it.
FILE_NAME_BYTES = 200


def clean_label(text: str, limit: int = LIMIT) -> str:
    """The text on one line, without characters that hide or reorder, at most `limit` characters long.

    Example:
        >>> clean_label("cat" + chr(10) + "dog" + chr(0x202E)) == "cat" + chr(0xFFFD) + "dog" + chr(0xFFFD)
        True
        >>> clean_label("x" * 100, limit=5)
        'xxxx…'
    """
    shown = "".join(
        "\ufffd" if unicodedata.category(character) in UNSHOWABLE or character in SHAPELESS else character
        for character in text[: 4 * limit]
    )
    shown = unicodedata.normalize("NFC", shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def well_formed(text: str) -> str:
    r"""The text with what no encoding can write, a half of a pair of surrogates, by its number.

    Example:
        >>> print(well_formed("cat" + chr(0xD800)))
        cat\ud800
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def clean_file_name(text: str, others: str = "", limit: int = LIMIT) -> str:
    """The text as a part of a file name: letters, digits, `-`, `_`, and others where they are named.

    Example:
        >>> clean_file_name("my data/../v1")
        'my-data-v1'
        >>> clean_file_name("loss=ls, alpha=0.1", others="=.")
        'loss=ls-alpha=0.1'
    """
    cleaned = re.sub(rf"[^\w\-{re.escape(others)}]+", "-", text).strip("-")[:limit]
    return cleaned.encode()[:FILE_NAME_BYTES].decode("utf-8", "ignore") or "unnamed"


def own_file_name(text: str, others: str = "", limit: int = LIMIT) -> str:
    """As `clean_file_name`, of different texts always different: what says more than its name ends in a digest.

    Example:
        >>> own_file_name("transfer digits"), own_file_name("a/b") == own_file_name("a:b")
        ('transfer-digits', False)
    """
    cleaned = clean_file_name(text, others, limit)
    if cleaned == text.replace(" ", "-"):
        return cleaned
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{cleaned}-{digest}"
