"""Names from files and users, made fit to be shown."""

import re
import unicodedata

LIMIT = 60
# Control, format (bidirectional overrides, zero widths), surrogate, private use, unassigned; line separators.
UNSHOWABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def clean_label(text: str, limit: int = LIMIT) -> str:
    """The text on one line, without characters that hide or reorder, at most `limit` characters long.

    Example:
        >>> clean_label("cat" + chr(10) + "dog" + chr(0x202E)) == "cat" + chr(0xFFFD) + "dog" + chr(0xFFFD)
        True
        >>> clean_label("x" * 100, limit=5)
        'xxxx…'
    """
    shown = "".join(
        "\ufffd" if unicodedata.category(character) in UNSHOWABLE else character
        for character in text[: 4 * limit]
    )
    shown = unicodedata.normalize("NFC", shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def well_formed(text: str) -> str:
    """The text with what no encoding can write, a half of a pair of surrogates, marked as missing.

    Example:
        >>> well_formed("cat" + chr(0xD800)) == "cat" + chr(0xFFFD)
        True
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean_file_name(text: str, others: str = "", limit: int = LIMIT) -> str:
    """The text as a part of a file name: letters, digits, `-`, `_`, and others where they are named.

    Example:
        >>> clean_file_name("my data/../v1")
        'my-data-v1'
        >>> clean_file_name("loss=ls, alpha=0.1", others="=.")
        'loss=ls-alpha=0.1'
    """
    return re.sub(rf"[^\w\-{re.escape(others)}]+", "-", text).strip("-")[:limit] or "unnamed"
