"""Tests for hostile files: each payload is live, and none of them runs when its file is opened."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.checkpoints.hostile import CONTAINERS, HOSTILE
from tests.checkpoints.opcodes import stream
from tests.checkpoints.opening import ROOT, Outcome, inspected, outcomes
from tests.checkpoints.payloads import PAYLOADS
from tests.checkpoints.trusting import trust

NAMED_BY_FILES = {"dill", "joblib", "modeling_net", "net", "__torch__", "cProfile", "timeit"}
TRUSTED_BY = {
    "torch_zip_file": "torch",
    "lightning_hyper_parameters": "torch",
    "legacy_stream": "torch",
    "legacy_stream_facts": "torch",
    "legacy_tar": "tar",
    "bare_pickle": "pickle",
    "whole_module": "zip members",
    "torchscript_data": "zip members",
    "torchscript_constants": "zip members",
    "pt2_weight": "zip blobs",
    "pt2_sample_inputs": "zip blobs",
    "dcp_metadata": "dcp metadata",
    "dcp_item": "dcp item",
    "npy_objects": "numpy",
    "npz_objects": "numpy",
    "dill_pickle": "pickle",
    "safetensors_in_name_only": "torch, whatever the name",
    "joblib_pickle": "joblib",
    "hugging_face_code": "hugging face",
    "hugging_face_shard": "hugging face",
    "accelerate_folder": "accelerate",
    "yaml_sidecar": "torch",
    "torch_package": "zip members",
}


@dataclass(frozen=True)
class Attack:
    """A hostile file and its canary."""

    path: Path
    canary: Path


def attack(name: str, folder: Path) -> Attack:
    """Build one hostile file in a folder of its own."""
    home = folder / name
    home.mkdir()
    canary = folder / f"{name}.canary"
    return Attack(HOSTILE[name](home, canary), canary)


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The canary of each payload alone and of each container, after trusting programs have opened them."""
    folder = tmp_path_factory.mktemp("live")
    for name, payload in PAYLOADS.items():
        (folder / f"{name}.pkl").write_bytes(stream(payload(folder / name)))
    armed = {container: attack(f"{container}-reduce_exec", folder) for container in CONTAINERS}
    alone = [("pickle", folder / f"{name}.pkl") for name in PAYLOADS]
    trust(alone + [(TRUSTED_BY[container], armed[container].path) for container in CONTAINERS])
    return {name: folder / name for name in PAYLOADS} | {name: one.canary for name, one in armed.items()}


@pytest.mark.parametrize("name", [*PAYLOADS, *CONTAINERS])
def test_a_trusting_program_runs_the_payload(name: str, canaries: dict[str, Path]):
    assert canaries[name].exists()


def test_the_fixtures_are_the_same_every_time(tmp_path: Path):
    name = "dcp_metadata-marshalled_code"
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        HOSTILE[name](folder, tmp_path / "canary")
    assert (first / "run" / ".metadata").read_bytes() == (second / "run" / ".metadata").read_bytes()


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Attack]:
    folder = tmp_path_factory.mktemp("hostile")
    return {name: attack(name, folder) for name in HOSTILE}


@pytest.fixture(scope="module")
def parsed(attacks: dict[str, Attack]) -> dict[str, Outcome]:
    return outcomes("parse", [armed.path for armed in attacks.values()])


def crossed() -> list[str]:
    """A quarter of the product in which each container and each payload takes part."""
    return [
        f"{container}-{payload}"
        for row, container in enumerate(CONTAINERS)
        for column, payload in enumerate(PAYLOADS)
        if (row + column) % 4 == 0
    ]


@pytest.fixture(scope="module")
def read(attacks: dict[str, Attack]) -> dict[str, Outcome]:
    """Opened as a user would, with the folders of the files where Python looks for modules."""
    homes = {str(attacks[name].path) for name in crossed() if attacks[name].path.is_dir()}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sorted(homes)])}
    return outcomes("read", [attacks[name].path for name in crossed()], environment=environment)


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_runs_when_a_hostile_file_is_parsed(
    name: str, attacks: dict[str, Attack], parsed: dict[str, Outcome]
):
    outcome = parsed[str(attacks[name].path)]
    assert outcome.kind in {"opened", "refused"}, outcome.message
    assert outcome.offences == []
    assert not {module.partition(".")[0] for module in outcome.imports} & NAMED_BY_FILES
    assert outcome.tensors or outcome.message
    assert not attacks[name].canary.exists()


@pytest.mark.parametrize("name", crossed())
def test_nothing_runs_when_a_hostile_file_is_opened(
    name: str, attacks: dict[str, Attack], read: dict[str, Outcome]
):
    outcome = read[str(attacks[name].path)]
    assert outcome.kind in {"opened", "refused"}, outcome.message
    assert outcome.message.isprintable()
    assert outcome.tensors or attacks[name].path.name in outcome.message
    assert not attacks[name].canary.exists()


@pytest.mark.parametrize("payload", ["reduce_system", "call_before_pop", "persistent_id"])
def test_the_command_line_runs_nothing(payload: str, attacks: dict[str, Attack]):
    armed = attacks[f"torch_zip_file-{payload}"]
    done = inspected(armed.path, "--json")
    assert done.returncode in {0, 2}
    assert "Traceback" not in done.stderr
    assert not armed.canary.exists()
