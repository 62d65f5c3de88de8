"""Tests for the page on feature stores: its code runs, and what it lists is what there is."""

import json
import re
from pathlib import Path

import pytest

from maxsup_analysis.feature_store.store import FORMAT
from maxsup_analysis.store_commands import store_app
from tests.feature_store.stores import rows_of, store_at

PAGE = (Path(__file__).parents[2] / "docs" / "feature-store.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["checksum", "without the package", "with it"])
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_the_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], block: str
):
    store_at(tmp_path / "ce.features", rows_of(5000))
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/feature-store.md", "exec"), {})
    assert block.count("print") == 0 or capsys.readouterr().out


def test_the_checksum_of_the_page_finds_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shard = store_at(tmp_path / "ce.features", rows_of(50)).path / "rows-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError), pytest.warns(ResourceWarning):
        exec(compile(BLOCKS[0], "docs/feature-store.md", "exec"), {})


def test_every_field_of_the_manifest_is_listed(tmp_path: Path):
    manifest = json.loads((store_at(tmp_path / "s", rows_of(3)).path / "manifest.json").read_text())
    table = PAGE.split("## The manifest")[1].split("##")[0]
    listed = {
        name
        for line in table.splitlines()
        for name in re.findall(r"`(\w+)`", line.split("|")[1:2][0] if "|" in line else "")
    }
    assert listed == set(manifest) and FORMAT in table


def test_every_command_is_listed():
    listed = re.findall(r"maxsup-analyze store (\w+)", PAGE)
    names = [
        command.name or getattr(command.callback, "__name__", "") for command in store_app.registered_commands
    ]
    assert set(listed) == set(names)
