"""Tests for what is set around a measurement: numbers are the same bits whatever it is, and it stays set."""

import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from maxsup_analysis import InputError, Measurements, compare, measure
from maxsup_analysis.breakdown import by_class, by_decile
from maxsup_analysis.effects import Design, Run
from maxsup_analysis.figures.spectrum import within_spectrum
from maxsup_analysis.losses.online import OnlineLabelSmoothingLoss
from maxsup_analysis.measurements import represent_arrays
from maxsup_analysis.metrics.calibration import reliability
from maxsup_analysis.probe import Labelled, probe
from maxsup_analysis.surroundings import cores, undisturbed
from tests.clouds import cloud

Setting = Callable[[], AbstractContextManager]
BACKENDS: Any = torch.backends  # whose settings are unknown to type checkers


def having(read: Callable[[], object], write: Callable, value: object) -> Setting:
    """A setting that a program makes, and takes back after."""

    @contextmanager
    def setting() -> Iterator[None]:
        before = read()
        write(value)
        try:
            yield
        finally:
            write(before)

    return setting


def dtype(value: torch.dtype) -> Setting:
    return having(torch.get_default_dtype, torch.set_default_dtype, value)


def precision(value: str) -> Setting:
    return having(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, value)


def threads(number: int) -> Setting:
    return having(torch.get_num_threads, torch.set_num_threads, number)


@contextmanager
def without_mkldnn() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


@contextmanager
def looking_for_anomalies() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly():
            yield


def _write_backend(value: str) -> None:
    BACKENDS.mkldnn.matmul.fp32_precision = value


def _write_every_backend(value: str) -> None:
    BACKENDS.fp32_precision = value


SETTINGS: dict[str, Setting] = {
    "autocast to bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast to float16": lambda: torch.autocast("cpu", torch.float16),
    "medium precision": precision("medium"),
    "high precision": precision("high"),
    "precision of one backend": having(lambda: "none", _write_backend, "bf16"),
    "precision of all backends": having(lambda: "none", _write_every_backend, "bf16"),
    "bfloat16 by default": dtype(torch.bfloat16),
    "float16 by default": dtype(torch.float16),
    "float64 by default": dtype(torch.float64),
    "meta device": lambda: torch.device("meta"),
    "meta device by default": having(lambda: None, torch.set_default_device, "meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "gradients": torch.enable_grad,
    "two threads": threads(2),
    "four threads": threads(4),
    "deterministic algorithms": having(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
    "every warning": having(torch.is_warn_always_enabled, torch.set_warn_always, True),
    "anomalies": looking_for_anomalies,
    "no mkldnn": without_mkldnn,
    "errors of NumPy": lambda: np.errstate(all="raise"),
}
EACH = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


@cache
def rows(kind: torch.dtype) -> list[torch.Tensor]:
    """Of twelve classes in forty dimensions, one of them a zero vector."""
    data = cloud(12, 40, [30] * 12, seed=3)
    data.features[5] = 0
    return [
        torch.from_numpy(part) if part.dtype == np.int64 else torch.from_numpy(part).to(kind)
        for part in data.arrays
    ]


def bits(measured: Measurements) -> dict[str, tuple]:
    """Every number of every metric, to the last digit."""
    return {
        name: (
            struct.pack("dd", item.value, item.standard_error),
            item.reason,
            None if item.influence is None else item.influence.numpy().tobytes(),
        )
        for name, item in measured.items()
    }


@cache
def plain(kind: torch.dtype) -> Measurements:
    return measure(*rows(kind), groups=("all",))


@EACH
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_all_metrics_are_the_same_bits(setting: Setting, kind: torch.dtype):
    expected = bits(plain(kind))
    with setting():
        found = measure(*rows(kind), groups=("all",))
    assert bits(found) == expected


def test_tensors_made_in_inference_mode_are_the_same():
    with torch.inference_mode():
        found = measure(*(part.clone() for part in rows(torch.float64)), groups=("all",))
    again = measure(*(part.clone() for part in rows(torch.float64)), groups=("all",))
    assert bits(found) == bits(again) == bits(plain(torch.float64))


@pytest.mark.parametrize(("K", "D"), [(200, 30), (20, 600)])
def test_large_matrices_are_rounded_alike_whatever_the_number_of_threads(K: int, D: int):
    data = cloud(K, D, [4] * K, seed=5)
    some = ("nc", "effective_rank", "cdnv")
    found = []
    for number in (1, 3):
        with threads(number)():
            found.append(bits(data.measured(*some)))
    assert found[0] == found[1]


def everything() -> list[object]:
    """What else the package computes, of numbers that settings could change."""
    one, other = plain(torch.float32), measure(*rows(torch.float32)[:3], groups=("all",))
    features, labels = rows(torch.float32)[:2]
    compared = compare({"A": [one, one], "B": [other]}).to_json()
    assert one.samples is not None
    design = Design(
        {"loss": ["a", "b"]},
        [Run({"loss": name}, run, one.samples) for name, run in (("a", one), ("b", other))],
    )
    seen = represent_arrays(*rows(torch.float32))
    probed = probe(Labelled(features, labels), Labelled(features, labels), strengths=(0.1, 1.0))
    return [
        compared, design.effects("d_within", "loss")[0].interval, by_class(seen).to_json(), by_decile(seen).to_json(),
        reliability(seen).confidence_sums.tolist(), within_spectrum(seen).tolist(), probed.accuracy.value,
        probed.held_out,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["autocast to bfloat16", "medium precision", "bfloat16 by default", "meta device", "inference mode", "no gradients",
     "two threads", "errors of NumPy"],
)  # fmt: skip
def test_comparisons_tables_figures_and_probes_are_the_same(name: str):
    expected = everything()
    with SETTINGS[name]():
        found = everything()
    assert found == expected


def state() -> list[object]:
    """All that a program can have set."""
    return [
        torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(), torch.get_default_device(), torch.get_default_dtype(), torch.get_num_threads(),
        BACKENDS.mkldnn.matmul.fp32_precision, BACKENDS.mkldnn.conv.fp32_precision,
        BACKENDS.fp32_precision, torch.backends.mkldnn.enabled, torch.backends.mkldnn.deterministic,
        torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled(), torch.is_warn_always_enabled(),
        torch.are_deterministic_algorithms_enabled(), np.geterr(), torch.get_rng_state().tolist(),
        str(np.random.get_state()), cores(),
    ]  # fmt: skip


@EACH
def test_what_was_set_is_still_set_after(setting: Setting):
    features, labels = rows(torch.float32)[:2]
    with setting():
        before = state()
        measure(features, labels)
        assert state() == before
        with pytest.raises(InputError):
            measure(features, -labels)
        assert state() == before


def test_a_precision_that_comes_from_a_wider_setting_goes_on_coming_from_it():
    # A program that has set it once, as another test may have, keeps it apart from the wider one.
    _write_backend("none")
    with SETTINGS["precision of all backends"]():
        measure(*rows(torch.float32)[:2])
        BACKENDS.fp32_precision = "tf32"
        assert BACKENDS.mkldnn.matmul.fp32_precision == "tf32"
    with SETTINGS["precision of one backend"]():
        measure(*rows(torch.float32)[:2])
        assert BACKENDS.mkldnn.matmul.fp32_precision == "bf16"


def test_the_last_of_several_threads_puts_back_what_the_first_has_found():
    features, labels = rows(torch.float32)[:2]
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with undisturbed():
            inside.set()
            leave.wait(10)

    with precision("medium")(), threads(3)():
        thread = threading.Thread(target=first)
        thread.start()
        assert inside.wait(10)
        with undisturbed():
            assert BACKENDS.mkldnn.matmul.fp32_precision == "ieee"
        assert BACKENDS.mkldnn.matmul.fp32_precision == "ieee"
        leave.set()
        thread.join(10)
        assert torch.get_float32_matmul_precision() == "medium" and torch.get_num_threads() == 3
        expected = bits(measure(features, labels))
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: bits(measure(features, labels)), range(8)))
        assert all(one == expected for one in found)
        assert torch.get_float32_matmul_precision() == "medium" and torch.get_num_threads() == 3
        born_later: list[int] = []
        thread = threading.Thread(target=lambda: born_later.append(torch.get_num_threads()))
        thread.start()
        thread.join(10)
        assert born_later == [3]


def test_as_many_threads_sweep_as_torch_had():
    with threads(3)():
        with undisturbed(), undisturbed():
            assert cores() == 3 and torch.get_num_threads() == 1
        assert cores() == torch.get_num_threads() == 3


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "around", [nullcontext, *map(SETTINGS.get, ("autocast to bfloat16", "bfloat16 by default"))]
)
def test_the_table_of_soft_labels_is_the_same_in_a_module_of_another_type(kind: torch.dtype, around: Setting):
    torch.manual_seed(0)
    logits, weight = 3 * torch.randn(2000, 5), torch.tensor([0.1, 1, 1, 1, 1])
    tables = []
    for convert in (lambda loss: loss, lambda loss: torch.nn.Sequential(loss).to(kind)[0]):
        with around() if tables else nullcontext():
            loss: Any = convert(OnlineLabelSmoothingLoss(classes=5, weight=weight))
            loss.start_epoch(0, 2)
            for part in logits.split(10):
                loss(part, part.argmax(1))
            loss.start_epoch(1, 2)
        tables.append((loss.table.tolist(), loss.weight))
    assert tables[0][0] == tables[1][0] and torch.equal(tables[0][1], tables[1][1])
    assert np.allclose(np.sum(tables[0][0], 1), 1, atol=1e-6)
