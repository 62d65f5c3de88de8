"""The command line around feature stores: `maxsup-analyze store ...`. The rest is imported inside each command."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from maxsup_analysis.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

# Characters of a line.
LONGEST = 2000

store_app = typer.Typer(no_args_is_help=True, help="Look into feature stores, check, join and convert them.")

Store = Annotated[Path, typer.Argument(metavar="STORE", help="A feature store.")]
Stores = Annotated[list[Path], typer.Argument(metavar="STORE...", help="Feature stores.")]
NewStore = Annotated[Path, typer.Option("--output", "-o", help="The feature store to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output where it exists.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@store_app.command()
def info(store: Store, as_json: AsJson = False) -> None:
    """What a store holds and where it comes from; of an unfinished one, how far it is."""
    from maxsup_analysis.feature_store.summary import summary_of
    from maxsup_analysis.tables import show

    summary = summary_of(store)
    if as_json:
        print(json.dumps(summary.to_plain(), indent=2, allow_nan=False))
    else:
        show(_table(summary.to_plain()), ())


@store_app.command()
def verify(stores: Stores) -> None:
    """Hold every byte of stores against their checksums, and every row against what rows have to be."""
    from maxsup_analysis.feature_store import open_store
    from maxsup_analysis.feature_store.damage import AGAIN, counted, faults_at
    from maxsup_analysis.labels import clean_label

    harmed = []
    for path in stores:
        found = list(faults_at(path))
        for fault in found:
            print(clean_label(f"{path}: {fault}", LONGEST))
        if found:
            harmed.append(f"{counted(len(found), 'fault')} in {path}: {found[0]}")
        else:
            whole = open_store(path)
            print(
                clean_label(
                    f"{path}: ok: {counted(whole.size, 'row')} in {counted(len(whole.shards), 'shard')}",
                    LONGEST,
                )
            )
    if harmed:
        raise InputError("; ".join([*harmed, AGAIN]))


@store_app.command()
def merge(
    stores: Stores,
    output: NewStore,
    renumber: Annotated[
        bool, typer.Option("--renumber", help="New ids from 0 on, in the order of the stores.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """One store of several of one classifier on different samples; rows in the order of their ids."""
    from maxsup_analysis.feature_store.merging import merge_stores

    print(merge_stores(stores, output, renumber=renumber, overwrite=overwrite).path)


@store_app.command()
def export(
    store: Store,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .npz, .pt or .parquet file, or a folder for .npy files.")
    ],
    overwrite: Overwrite = False,
) -> None:
    """The rows of a store as a file that other tools read; the ending says which."""
    from maxsup_analysis.feature_store.exporting import export_store

    for note in export_store(store, output, overwrite=overwrite):
        _note(note)
    print(output)


@store_app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .npz, .safetensors, .pt, .parquet or .npy of features and labels (optionally logits, ids, ...), "
            "or a folder with features.npy."
        ),
    ],
    output: NewStore,
    labels: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="The labels of a .npy: another, or a text with an integer a line."),
    ] = None,
    class_names: Annotated[Optional[Path], typer.Option(help="A text with a class name a line.")] = None,  # noqa: UP045
    overwrite: Overwrite = False,
) -> None:
    """A store of features that were made elsewhere."""
    from maxsup_analysis.feature_store.importing import import_store, remarks

    made = import_store(file, output, labels=labels, class_names=class_names, overwrite=overwrite)
    for note in remarks(made):
        _note(note)
    print(made.path)


def _note(line: str) -> None:
    from maxsup_analysis.progress import say

    say(f"note: {line}")


def _table(summary: Mapping[str, object]) -> "Table":
    """One row a fact; what has parts of its own takes a row a part."""
    from rich.table import Table

    from maxsup_analysis.tables import plain_text

    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _facts(summary):
        table.add_row(plain_text(name), plain_text(text, LONGEST))
    return table


def _facts(summary: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in summary.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}: {part}", _in_words(entry)) for part, entry in value.items())
        else:
            yield name, _in_words(value)


def _in_words(value: object) -> str:
    """A value of JSON for people."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return ", ".join(value) or "none"
    return value if isinstance(value, str) else json.dumps(value)
