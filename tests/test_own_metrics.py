"""Tests for metrics of the user's own: the example of the documents, measured and compared, and wrong files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.clouds import cloud

PAGE = Path(__file__).parents[1] / "docs" / "your-own-metrics.md"
DATA = cloud(4, 6, [30] * 4)


def example() -> str:
    """The code of the page."""
    return PAGE.read_text().split("```python\n")[1].split("```")[0]


def own(decorator: str, body: str, *, first: str = "", more: str = "") -> str:
    """A metric of that body."""
    given = (first, "label='mine', formula='x', source='here', collapsed=None", more)
    return (
        f"from maxsup_analysis.metrics import {decorator}\n"
        f"@{decorator}({', '.join(part for part in given if part)})\n"
        f'def mine(seen):\n    """What it is."""\n    {body}\n'
    )


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, whose table of metrics is its own."""
    return subprocess.run(
        [sys.executable, "-m", "maxsup_analysis", *arguments], cwd=folder, capture_output=True, text=True
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With two files of arrays, and the example."""
    names = ("features", "labels", "logits", "weight", "bias")
    for run in ("a", "b"):
        arrays = dict(zip(names, DATA.arrays, strict=True))
        arrays["features"] = arrays["features"] * (1 + (run == "b"))
        np.savez(tmp_path / f"{run}.npz", **arrays)
    (tmp_path / "my_metrics.py").write_text(example())
    return tmp_path


def test_the_example_is_measured_with_its_errors(folder: Path):
    done = analyze(folder, "measure", "a.npz", "--metrics-from", "my_metrics.py", "--json")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    groups = [DATA.features[DATA.labels == k] for k in range(4)]
    widest = max(((group - group.mean(0)) ** 2).sum(1).mean() for group in groups)
    assert metrics["widest_class"]["value"] == pytest.approx(widest, rel=1e-12)
    exponentials = np.exp(DATA.logits)
    q = exponentials / exponentials.sum(1, keepdims=True)
    assert metrics["entropy"]["value"] == pytest.approx(float(-(q * np.log(q)).sum(1).mean()), rel=1e-12)
    assert metrics["widest_class"]["standard_error"] > 0 and metrics["entropy"]["standard_error"] > 0
    assert "d_within" in metrics


def test_the_example_is_compared_listed_and_reported(folder: Path):
    done = analyze(folder, "compare", "A=a.npz", "B=b.npz", "--metrics-from", "my_metrics.py", "--csv")
    assert done.returncode == 0, done.stderr
    assert "widest_class,B" in done.stdout
    listed = analyze(folder, "metrics", "--group", "entropy", "--metrics-from", "my_metrics.py")
    assert "Mean entropy of the predicted distribution." in listed.stdout and "d_within" not in listed.stdout
    report = analyze(folder, "report", "a.npz", "--metrics-from", "my_metrics.py", "-o", "report.pdf")
    assert report.returncode == 0, report.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected metrics in my_metrics.py, got none"),
        (
            "raise RuntimeError('no such luck')",
            "importing my_metrics.py failed with RuntimeError: no such luck",
        ),
        (
            example() + "\n" + example(),
            "importing my_metrics.py failed with ValueError: the metric 'widest_class'",
        ),
        ("import sys; sys.exit(0)", "importing my_metrics.py failed with SystemExit: 0"),
        (
            own("moment_metric", "return 1 / 0"),
            "the metric mine failed with ZeroDivisionError: division by zero",
        ),
        (
            own("moment_metric", "return 0.5"),
            "expected a tensor of one number from the metric mine, got float",
        ),
        (
            own("mean_metric", "return seen.features"),
            "expected a tensor of a number a sample from the metric mine, got shape (120, 6)",
        ),
        (
            own("total_metric", "return seen.features", first="lambda totals: totals"),
            "expected a tensor of one number from the metric mine, got shape (6,)",
        ),
        (
            own("moment_metric", "return 0.5").replace('"""What it is."""', ""),
            "expected a docstring that says what the metric mine means, got none",
        ),
    ],
)
def test_files_that_are_wrong(folder: Path, text: str, sentence: str):
    (folder / "my_metrics.py").write_text(text)
    done = analyze(folder, "measure", "a.npz", "--metrics-from", "my_metrics.py")
    assert done.returncode == 2 and done.stdout == ""
    assert sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_file_that_is_not_there(folder: Path):
    done = analyze(folder, "measure", "a.npz", "--metrics-from", "other.py")
    assert done.returncode == 2
    assert done.stderr == "error: expected a Python file at other.py, got nothing there; check the path\n"


def test_a_file_that_is_no_python(folder: Path):
    done = analyze(folder, "measure", "a.npz", "--metrics-from", "b.npz")
    assert done.returncode == 2
    assert done.stderr == "error: expected a Python file, got b.npz; name one that ends in .py\n"


def test_a_mean_in_a_unit_of_ones_own(folder: Path):
    text = own("mean_metric", "return seen.squares", more="unit=lambda seen: seen.classes.spreads.sum()")
    (folder / "my_metrics.py").write_text(text)
    done = analyze(folder, "measure", "a.npz", "--metrics-from", "my_metrics.py", "--group", "mine", "--json")
    assert done.returncode == 0, done.stderr
    # The mean over the sum of the same numbers is 1/N, whatever the weights of samples.
    found = json.loads(done.stdout)["metrics"]["mine"]
    assert found["value"] == pytest.approx(1 / 120)
    # But for the factor of small classes, which the error of a spread has and that of a mean has not.
    assert found["standard_error"] < 1e-3 * found["value"]


def test_a_number_of_eigenvalues_of_a_class_is_a_metric_without_a_known_error(folder: Path):
    body = "return (seen > 1).double().sum()"
    (folder / "counted.py").write_text(own("class_metric", body, first="'second moment'"))
    done = analyze(folder, "measure", "a.npz", "--metrics-from", "counted.py", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["metrics"]["mine"]
    groups = [DATA.features[DATA.labels == k] for k in range(4)]
    numbers = [(np.linalg.svd(group, compute_uv=False) ** 2 / len(group) > 1).sum() for group in groups]
    assert found["value"] == np.mean(numbers)
    # Counts are flat between their steps: how they vary is not known from slopes.
    assert found["standard_error"] is None and "no sample differs" in found["reason"]
