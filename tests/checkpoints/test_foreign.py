"""Tests for foreign objects: the weights are found, the classes are named, and nothing is imported for them."""

import importlib.util
from pathlib import Path

import pytest
import torch

from tests.checkpoints.foreign import EXPECTED, FOREIGN, REPORTED, VANISHED
from tests.checkpoints.opening import Outcome, outcomes

REFUSED_BY_TORCH = sorted(set(FOREIGN) - {"plain_torch", "scaler_state", "bytes"})


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("foreign")
    built = {}
    for name, build in FOREIGN.items():
        home = folder / name
        home.mkdir()
        built[name] = build(home)
    return built


@pytest.fixture(scope="module")
def parsed(paths: dict[str, Path]) -> dict[str, Outcome]:
    return outcomes("parse", list(paths.values()))


@pytest.fixture(scope="module")
def read(paths: dict[str, Path]) -> dict[str, Outcome]:
    return outcomes("read", list(paths.values()))


@pytest.mark.parametrize("module", sorted(VANISHED))
def test_the_modules_of_the_fixtures_do_not_exist(module: str):
    assert importlib.util.find_spec(module) is None


@pytest.mark.parametrize("name", REFUSED_BY_TORCH)
def test_torch_itself_refuses_the_fixture(name: str, paths: dict[str, Path]):
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(paths[name], weights_only=True)


@pytest.mark.parametrize("name", FOREIGN)
def test_the_weights_are_found(name: str, paths: dict[str, Path], read: dict[str, Outcome]):
    outcome = read[str(paths[name])]
    assert outcome.kind == "opened", outcome.message
    for weight in EXPECTED:
        assert any(found == weight or found.endswith(f".{weight}") for found in outcome.tensors), weight


@pytest.mark.parametrize("name", FOREIGN)
def test_the_foreign_classes_are_named(name: str, paths: dict[str, Path], read: dict[str, Outcome]):
    assert set(REPORTED[name]) <= set(read[str(paths[name])].foreign)


@pytest.mark.parametrize("name", FOREIGN)
def test_nothing_is_imported_for_a_foreign_object(
    name: str, paths: dict[str, Path], parsed: dict[str, Outcome]
):
    outcome = parsed[str(paths[name])]
    assert outcome.kind == "opened", outcome.message
    assert outcome.offences == []
    assert not {module.partition(".")[0] for module in outcome.imports} & VANISHED
