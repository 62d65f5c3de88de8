"""Tests for measurements on disk that something else has written to: one line, and what to remove."""

from pathlib import Path

import pytest

from maxsup_analysis.errors import InputError
from maxsup_analysis.study.kept import INFLUENCES, SUFFIX, Part, kept

PART = Part("test", "all")
DOCUMENTS = [
    "[]", "1", '"x"', "{", "[" * 100_000, "\x00",
    '{"part": "test", "asked": "all"}',
    '{"part": "test", "asked": "all", "measurements": []}',
    '{"part": "test", "asked": "all", "measurements": {"format": "x"}}',
]  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_a_document_that_is_none(document: str, tmp_path: Path):
    (tmp_path / f"test{SUFFIX}").write_text(document)
    (tmp_path / f"test{INFLUENCES}").write_bytes(b"none")
    with pytest.raises(InputError, match=r"test.measured.json is damaged \(.*\); remove it") as refusal:
        kept(tmp_path, PART)
    assert str(refusal.value).isprintable()
