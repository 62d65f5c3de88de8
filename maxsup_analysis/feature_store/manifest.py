"""The manifest of a feature store, read field by field: what is not as it should be is an error, never a default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from maxsup_analysis.feature_store.content_key import ContentKey
from maxsup_analysis.feature_store.fields import (
    IllFormed,
    hexadecimal,
    integer,
    listed,
    record,
    table,
    text,
)
from maxsup_analysis.feature_store.headers import Skipped, shard_name, skipped_of
from maxsup_analysis.feature_store.seals import digest

FORMAT = "maxsup-analysis feature store, version 2"
MANIFEST = "manifest.json"
HEAD = "head.safetensors"
FIELDS = (
    "format", "rows", "dimensions", "columns", "head", "shards", "skipped", "classes", "key", "provenance",
)  # fmt: skip
NUMBERS = ("float64", "float32", "float16", "bfloat16")
# Types of the columns of every store; the logits may lack.
TYPES = {"ids": ("int64",), "labels": ("int64",), "features": NUMBERS, "logits": NUMBERS}


class OtherFormat(ValueError):
    """The document says that it is of another format, or of another version; the message is what it says."""


@dataclass(frozen=True)
class ShardEntry:
    """A shard as the manifest has it. sha256, xxh3_128: of the whole file; the second lacks in older stores."""

    file: str
    rows: int
    bytes: int
    sha256: str
    xxh3_128: str | None = None

    def to_plain(self) -> dict[str, object]:
        """As JSON."""
        quick = {} if self.xxh3_128 is None else {"xxh3_128": self.xxh3_128}
        return {"file": self.file, "rows": self.rows, "bytes": self.bytes, "sha256": self.sha256, **quick}


@dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    head: SHA-256 of the file of the head, None where there is no head. ids: of each shard with what it skipped, where
    the key tells; None else.
    """

    dimensions: int
    columns: Mapping[str, str]
    head: str | None
    shards: tuple[ShardEntry, ...]
    skipped: tuple[Skipped, ...]
    class_names: tuple[str, ...]
    key: ContentKey
    ids: tuple[range, ...] | None
    provenance: Mapping[str, object]


def manifest_of(document: Mapping[str, object]) -> Manifest:
    """A document without its seal as a manifest; raises OtherFormat, or IllFormed with what is wrong."""
    if document.get("format") != FORMAT:
        raise OtherFormat(str(document.get("format"))[:60])
    fields = record(document, "it", FIELDS)
    shards = tuple(_shard(entry, number) for number, entry in enumerate(listed(fields["shards"], "shards")))
    if integer(fields["rows"], "rows") != sum(shard.rows for shard in shards):
        raise IllFormed("rows is not the sum of the rows of its shards")
    key = _key(fields["key"])
    return Manifest(
        dimensions=integer(fields["dimensions"], "dimensions", least=1 if shards else 0),
        columns=_columns(fields["columns"], empty=not shards),
        head=None if fields["head"] is None else _head(fields["head"]),
        shards=shards,
        skipped=skipped_of(fields["skipped"]),
        class_names=_class_names(fields["classes"]),
        key=key,
        ids=_ids(key.ingredients, len(shards)),
        provenance=_provenance(fields["provenance"]),
    )


def _shard(value: object, number: int) -> ShardEntry:
    what = f"shard {number}"
    entry = record(value, what, ("file", "rows", "bytes", "sha256"), ("xxh3_128",))
    # Its place decides its name: no other file, inside of the store or outside, can be meant, and none twice.
    if entry["file"] != shard_name(number):
        raise IllFormed(f"{what} is not {shard_name(number)}; a store names no other files")
    quick = entry.get("xxh3_128")
    return ShardEntry(
        shard_name(number),
        integer(entry["rows"], f"rows of {what}"),
        integer(entry["bytes"], f"bytes of {what}"),
        hexadecimal(entry["sha256"], f"sha256 of {what}", 64),
        None if quick is None else hexadecimal(quick, f"xxh3_128 of {what}", 32),
    )


def _columns(value: object, *, empty: bool) -> dict[str, str]:
    if empty:
        record(value, "columns", ())
        return {}
    found = record(value, "columns", ("ids", "labels", "features"), ("logits",))
    for name, kind in found.items():
        if kind not in TYPES[name]:
            raise IllFormed(f"the type of {name} is not {' or '.join(TYPES[name])}")
    return {name: text(kind, name) for name, kind in found.items()}


def _head(value: object) -> str:
    entry = record(value, "head", ("file", "sha256"))
    if entry["file"] != HEAD:
        raise IllFormed(f"head is not {HEAD}; a store names no other files")
    return hexadecimal(entry["sha256"], "sha256 of head", 64)


def _class_names(value: object) -> tuple[str, ...]:
    names = tuple(text(name, "a class name") for name in listed(value, "classes"))
    if not names:
        raise IllFormed("classes is empty")
    return names


def _key(value: object) -> ContentKey:
    entry = record(value, "key", ("sha256", "ingredients"))
    ingredients = table(entry["ingredients"], "ingredients")
    if entry["sha256"] != digest(dict(ingredients)):
        raise IllFormed("the sha256 of key is not that of its ingredients")
    return ContentKey(ingredients)


def _ids(ingredients: Mapping[str, object], shards: int) -> tuple[range, ...] | None:
    """Samples are cut into shards by their place in the data; not so where rows came from other files or stores."""
    parts = ingredients.get("samples"), ingredients.get("shard")
    if {"imported", "merged"} & set(ingredients) or not all(isinstance(part, int) for part in parts):
        return None
    samples, size = integer(parts[0], "samples"), integer(parts[1], "shard", 1)
    if -(-samples // size) != shards:
        raise IllFormed(f"there are {shards} shards, where {samples} samples are cut into parts of {size}")
    return tuple(range(start, min(start + size, samples)) for start in range(0, samples, size))


def _provenance(value: object) -> Mapping[str, object]:
    """Anything, but what this package looks at has the type that it writes."""
    found = table(value, "provenance")
    for name, known in PROVENANCE.items():
        if found.get(name) is not None:
            known(found[name], name)
    return found


def _texts(value: object, what: str) -> list[str]:
    return [text(part, f"a part of {what}") for part in listed(value, what)]


PROVENANCE: Mapping[str, Callable[[object, str], object]] = {
    **dict.fromkeys(
        ("checkpoint", "architecture", "training", "preprocessing", "weights", "versions"), table
    ),
    **dict.fromkeys(("evidence", "warnings"), _texts),
    **dict.fromkeys(("layer", "head", "data", "split", "data_sha256", "device", "dtype", "amp"), text),
    **dict.fromkeys(("package_version", "python_version"), text),
}
