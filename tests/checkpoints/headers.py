"""safetensors files with headers that lie."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

from tests.checkpoints.archives import safetensors
from tests.checkpoints.opcodes import WEIGHTS

LAYER = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
BODY = WEIGHTS["0"]


def headed(header: object, body: bytes = BODY, claimed: int | None = None) -> Callable[[Path], Path]:
    """A builder of a file with this header."""

    def build(folder: Path) -> Path:
        given = header() if callable(header) else header
        path = folder / "model.safetensors"
        path.write_bytes(safetensors(given, body, claimed))
        return path

    return build


def named(name: str) -> Callable[[Path], Path]:
    """A builder of a file with one tensor of this name."""
    return headed({name: LAYER})


def layer(**changed: object) -> Callable[[Path], Path]:
    """A builder of a file whose one tensor is described otherwise."""
    return headed({"weight": LAYER | changed})


def second(begin: int, end: int) -> dict[str, object]:
    """A header of two tensors of three numbers each, the second at given offsets."""
    first = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
    return {"a": first, "b": first | {"data_offsets": [begin, end]}}


def million() -> bytes:
    """A header of a million tensors of no elements."""
    entry = '"{}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    return b"{" + ",".join(entry.format(number) for number in range(1_000_000)).encode() + b"}"


def strange() -> dict[str, object]:
    """Names that would do things to a terminal, a path or a reader."""
    names = (
        "a\x00b",
        "\x1b[2J\x1b[31mred",
        "../../../etc/passwd",
        "/abs",
        "evil\u202egnp.weight",
        "a\nb",
        "<script>",
    )
    return {
        name: {"dtype": "U8", "shape": [1], "data_offsets": [place, place + 1]}
        for place, name in enumerate(names)
    }


HEADERS: dict[str, Callable[[Path], Path]] = {
    "of_100_mb_claimed": headed({"weight": LAYER}, claimed=100_000_000),
    "of_2_63_claimed": headed({"weight": LAYER}, claimed=2**63),
    "of_20_mb": headed(lambda: {"__metadata__": {"note": "a" * 20 * 2**20}, "weight": LAYER}),
    "shorter_than_claimed": headed({"weight": LAYER}, b"", claimed=200),
    "claimed_too_short": headed({"weight": LAYER}, claimed=5),
    "of_a_million_tensors": headed(million, b""),
    "nested": headed(lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "nested_in_metadata": headed(lambda: b'{"__metadata__":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"),
    "not_json": headed(b"{'weight': 3}"),
    "of_a_list": headed([1, 2, 3]),
    "of_huge_integer": headed(
        b'{"weight":{"dtype":"F32","shape":[' + b"9" * 100_000 + b'],"data_offsets":[0,24]}}'
    ),
    "not_a_number": headed(b'{"weight":{"dtype":"F32","shape":[NaN],"data_offsets":[0,24]}}'),
    "not_utf_8": headed(b'{"\xff\xfe":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}'),
    "duplicated_names": headed(
        b'{"weight":' + json.dumps(LAYER).encode() + b',"weight":' + json.dumps(LAYER).encode() + b"}"
    ),
    "duplicated_fields": headed(
        b'{"weight":{"dtype":"F32","shape":[6],"shape":[2,3],"data_offsets":[0,24]}}'
    ),
    "overlapping": headed(second(8, 20), BODY[:20]),
    "with_a_hole": headed(second(16, 28), bytes(28)),
    "out_of_the_file": headed(second(12, 24), BODY[:20]),
    "followed_by_bytes": headed({"weight": LAYER}, BODY + b"trailing"),
    "backwards": headed(second(24, 12), BODY),
    "of_wrong_dtype": layer(dtype="F33"),
    "of_numeric_dtype": layer(dtype=7),
    "of_another_length": layer(dtype="F64"),
    "of_negative_shape": layer(shape=[-2, -3]),
    "of_fractional_shape": layer(shape=[2.0, 3.0]),
    "of_boolean_shape": layer(shape=[True, 6]),
    "of_overflowing_shape": layer(shape=[2**32, 2**32, 2**32]),
    "of_negative_offsets": layer(data_offsets=[-24, 0]),
    "of_three_offsets": layer(data_offsets=[0, 24, 48]),
    "of_a_tensor_that_is_text": headed({"weight": "here"}),
    "of_metadata_not_text": headed({"__metadata__": {"format": {"a": 1}}, "weight": LAYER}),
    "of_a_long_name": named("a" * 5000),
    "strange_names": headed(strange, bytes(7)),
    "metadata_of_markup": headed(
        {"__metadata__": {"note": "<script>alert(1)</script>\x1b[31m"}, "weight": LAYER}
    ),
    "infinite_values": headed({"weight": LAYER}, 6 * struct.pack("<f", float("inf"))),
    "empty": headed({}, b""),
}
