"""Tests for `maxsup-analyze store`: what is on which stream, and every sentence of refusal."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from maxsup_analysis.errors import InputError
from maxsup_analysis.feature_store import SHARD, open_store
from maxsup_analysis.feature_store.building import building
from maxsup_analysis.feature_store.request import Request
from maxsup_analysis.feature_store.seals import sealed
from maxsup_analysis.feature_store.shards import Skipped
from maxsup_analysis.ranks import Ranks
from maxsup_analysis.store_commands import store_app
from tests.feature_store.stores import NAMES, PLAN, rows_of, same, store_at, whole

COMMANDS = ("info", "verify", "merge", "export", "import")
TOTAL = SHARD + 50


def run(*arguments: object) -> tuple[str, str]:
    """stdout and stderr of a command that does what it is told."""
    result = CliRunner().invoke(store_app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout, result.stderr


def refused(*arguments: object) -> tuple[str, str]:
    """stdout, and the sentence of a refusal, which the command line prints on stderr and leaves with 2."""
    result = CliRunner().invoke(store_app, list(map(str, arguments)))
    assert isinstance(result.exception, InputError) and "\n" not in str(result.exception)
    return result.stdout, str(result.exception)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    gone = tuple(Skipped(number, f"{number}.png", "truncated") for number in range(TOTAL, TOTAL + 7))
    return store_at(tmp_path / "s.features", rows_of(TOTAL), skipped=gone).path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_there(command: str):
    assert "Usage" in run(command, "--help")[0]


def test_the_commands_import_nothing_heavy():
    script = (
        "import sys, maxsup_analysis.store_commands\n"
        "assert not {'torch', 'numpy', 'pyarrow', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def strict(text: str) -> dict:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def test_info_as_json(store: Path):
    said, aside = run("info", store, "--json")
    assert aside == ""
    assert strict(said) == {
        "store": str(store),
        "finished": True,
        "rows": TOTAL,
        "shards": 2,
        "bytes": sum(file.stat().st_size for file in store.iterdir()),
        "dimensions": 4,
        "columns": {"ids": "int64", "labels": "int64", "features": "float32", "logits": "float32"},
        "classes": 3,
        "class names": list(NAMES),
        "head": {"classes": 3, "dimensions": 4, "bias": True},
        "skipped": 7,
        "skipped samples": [f"{n} {n}.png (truncated)" for n in range(TOTAL, TOTAL + 5)] + ["and 2 more"],
        "key": PLAN.key.sha256,
        "ingredients": dict(PLAN.key.ingredients),
        "provenance": dict(PLAN.provenance),
    }


def test_info_as_a_table(store: Path):
    said, aside = run("info", store)
    lines = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in said.splitlines() if "│" in line
    ]
    shown = {line[0]: line[1] for line in lines if line[0]}
    assert aside == "" and shown["rows"] == f"{TOTAL:,}" and shown["finished"] == "yes"
    assert shown["columns: features"] == "float32" and shown["head: bias"] == "yes"
    assert shown["ingredients: resize"] == "256" and shown["provenance: data"] == "test"
    assert shown["provenance: checkpoint"] == '{"name": "ce.pt"}' and shown["skipped"] == "7"


def test_info_of_an_unfinished_store(tmp_path: Path):
    target = tmp_path / "x.features"
    with building(Request(target, PLAN, samples=3 * SHARD), Ranks()) as build:
        build.write(1, rows_of(torch.arange(SHARD, 2 * SHARD)), ())
    expected = {
        "store": f"{target}.partial",
        "finished": False,
        "shards": 1,
        "shards planned": 3,
        "samples planned": 3 * SHARD,
        "ingredients": dict(PLAN.key.ingredients),
    }
    for path in (target, f"{target}.partial"):
        found = strict(run("info", path, "--json")[0])
        assert found.pop("bytes") > 0 and found == expected
    (tmp_path / "x.features.partial" / "plan.json").write_text("{")
    assert strict(run("info", target, "--json")[0])["ingredients"] == {}
    assert "none" in run("info", target)[0]


@pytest.mark.parametrize(
    "plan",
    [{}, {"samples": "many", "ingredients": {}}, {"samples": 5, "ingredients": {"shard": 0}},
     {"samples": 5, "ingredients": []}, {"samples": 10**400, "ingredients": {}}],
)  # fmt: skip
def test_info_of_a_plan_that_is_sealed_but_ill_formed(tmp_path: Path, plan: dict):
    (tmp_path / "x.features.partial").mkdir()
    (tmp_path / "x.features.partial" / "plan.json").write_bytes(sealed({"format": "any", **plan}))
    found = strict(run("info", tmp_path / "x.features", "--json")[0])
    assert found["shards planned"] is None and found["ingredients"] == {}


def test_info_of_nothing(tmp_path: Path):
    assert (
        "expected a feature store (a folder with manifest.json) at" in refused("info", tmp_path / "none")[1]
    )


def test_verify(tmp_path: Path, store: Path):
    assert run("verify", store) == (f"{store}: ok: 4,146 rows in 2 shards\n", "")
    (store / "rows-00001.safetensors").unlink()
    (store / "notes.txt").touch()
    other = store_at(tmp_path / "t", rows_of(3)).path
    said, sentence = refused("verify", store, other)
    assert said.splitlines() == [
        f"{store}: rows-00001.safetensors: No such file or directory",
        f"{store}: notes.txt: it does not belong to the store",
        f"{other}: ok: 3 rows in 1 shard",
    ]
    assert sentence == (
        f"2 faults in {store}: rows-00001.safetensors: No such file or directory; run the command that made it again "
        "(`features` makes only harmed shards anew)"
    )
    (store / "manifest.json").write_text("{")
    assert refused("verify", store)[0].splitlines()[0] == (
        f"{store}: the manifest.json of {store} is damaged: it is no sealed JSON"
    )
    assert "expected a feature store" in refused("verify", tmp_path / "none")[1]


def test_merge(tmp_path: Path, store: Path):
    more = store_at(tmp_path / "t", rows_of(torch.arange(TOTAL, TOTAL + 7)), data="more").path
    place = tmp_path / "m.features"
    assert run("merge", more, store, "-o", place) == (f"{place}\n", "")
    merged = open_store(place)
    assert same(whole(merged), rows_of(TOTAL + 7)) and not merged.skipped
    assert "m.features exists already" in refused("merge", more, store, "-o", place)[1]
    assert run("merge", store, more, "-o", place, "--overwrite", "--renumber")[0] == f"{place}\n"
    assert len(open_store(place).skipped) == 7


def test_export_and_import(tmp_path: Path, store: Path):
    place, back = tmp_path / "out.npz", tmp_path / "back.features"
    assert run("export", store, "-o", place) == (f"{place}\n", "")
    assert run("import", place, "-o", back) == (f"{back}\n", "")
    assert same(whole(open_store(back)), rows_of(TOTAL))
    assert "out.npz exists already" in refused("export", store, "-o", place)[1]
    assert "back.features exists already" in refused("import", place, "-o", back)[1]
    run("export", store, "-o", place, "--overwrite")
    run("import", place, "-o", back, "--overwrite")


def test_export_says_what_is_lost_on_stderr(tmp_path: Path, store: Path):
    place = tmp_path / "out.parquet"
    note = "note: Parquet holds rows only; the head is left out\n"
    assert run("export", store, "-o", place) == (f"{place}\n", note)


def test_import_of_logits_says_so_on_stderr(tmp_path: Path):
    rows, place = rows_of(5), tmp_path / "s.features"
    torch.save({"logits": rows.logits, "labels": rows.labels}, tmp_path / "f.pt")
    said, aside = run("import", tmp_path / "f.pt", "-o", place)
    assert said == f"{place}\n"
    assert aside == (
        "note: there are no features, so the logits stand in for them: measures of geometry speak of the logits\n"
    )


def test_import_with_labels_and_names(tmp_path: Path):
    rows, place = rows_of(6), tmp_path / "s.features"
    np.save(tmp_path / "clip.npy", rows.features.numpy())
    (tmp_path / "y.txt").write_text("\n".join(map(str, rows.labels.tolist())))
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    options = ("--labels", tmp_path / "y.txt", "--class-names", tmp_path / "names.txt")
    run("import", tmp_path / "clip.npy", "-o", place, *options)
    made = open_store(place)
    assert made.class_names == NAMES and whole(made).labels.tolist() == rows.labels.tolist()
    assert made.head is None
