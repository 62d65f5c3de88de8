"""Tests for the command line: exit codes, streams, and every sentence that a user can meet."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from maxsup_analysis import cli
from maxsup_analysis.errors import InputError

COMMANDS = [
    "train",
    "inspect",
    "features",
    "measure",
    "compare",
    "figure",
    "report",
    "demo",
    "metrics",
    "losses",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ce.pt and ls.pt, two epochs each, and their stores."""
    from maxsup_analysis.features import Extraction, extract_features
    from maxsup_analysis.training import TrainingPlan, train

    folder = tmp_path_factory.mktemp("trained")
    for loss in ("ce", "ls"):
        train(TrainingPlan(loss=loss, epochs=2, train_samples=300), folder / f"{loss}.pt")
        extract_features(folder / f"{loss}.pt", None, Extraction())
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command line in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["maxsup-analyze", *map(str, arguments)])
        before = {number: signal.getsignal(number) for number in cli.SIGNALS}
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        for number, handler in before.items():
            signal.signal(number, handler)
        captured = capsys.readouterr()
        return int(leaving.value.code or 0), captured.out, captured.err

    return call


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS]], ids=" ".join)
def test_help_is_there_and_imports_nothing_heavy(command: list[str]):
    script = (
        "import sys; sys.argv = ['maxsup-analyze', *sys.argv[1:], '--help']\n"
        "from maxsup_analysis.cli import main\n"
        "try: main()\n"
        "except SystemExit as leaving: assert not leaving.code\n"
        "heavy = {'torch', 'matplotlib', 'numba', 'umap', 'numpy', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=True
    )
    assert "Usage: maxsup-analyze" in answer.stdout


def test_measure_gives_a_table_json_and_csv(run, trained: Path):
    code, table, _ = run("measure", trained / "ce.features")
    assert code == 0 and "d_within_unbiased" in table
    code, text, _ = run("measure", trained / "ce.features", "--json")
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    assert document["size"] == {"samples": 600, "classes": 10, "features": 64}
    code, text, _ = run("measure", trained / "ce.features", "--csv")
    rows = {line.split(",")[0]: line.split(",") for line in text.splitlines()}
    assert float(rows["d_within"][1]) == document["metrics"]["d_within"]["value"]


@pytest.mark.parametrize(("by", "rows"), [("class", 10), ("decile", 30)])
def test_measure_breaks_down_by_class_or_decile(run, trained: Path, by: str, rows: int):
    code, table, _ = run("measure", trained / "ce.features", "--by", by)
    assert code == 0 and "accuracy" in table and len(table.splitlines()) > rows
    code, text, _ = run("measure", trained / "ce.features", "--by", by, "--json")
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    assert code == 0 and len(document["rows"]) == rows
    code, text, _ = run("measure", trained / "ce.features", "--by", by, "--csv")
    heading, first, *_ = text.splitlines()
    found = dict(zip(heading.split(","), first.split(","), strict=True))
    assert code == 0 and float(found["accuracy"]) == document["rows"][0]["accuracy"]
    code, _, err = run("measure", trained / "ce.features", "--by", "klass")
    assert code == 2 and "expected --by class or decile, got 'klass'" in err


def test_a_wide_table_is_printed_whole(run, tmp_path: Path):
    names = np.array(["golden retriever", "tench", "airplane"])
    labels = np.arange(12) % 3
    features = np.random.default_rng(0).normal(size=(12, 4))
    np.savez(
        tmp_path / "mine.npz", features=features, labels=labels, logits=np.eye(3)[labels], class_names=names
    )
    code, table, _ = run("measure", tmp_path / "mine.npz", "--by", "class")
    assert code == 0 and "…" not in table and "golden retriever" in table and "penalty" in table


def test_measure_takes_a_checkpoint_and_reuses_its_features(run, trained: Path):
    code, out, err = run("measure", trained / "ce.pt", "--json")
    assert code == 0 and "using the features in" in err
    assert json.loads(out) == json.loads(run("measure", trained / "ce.features", "--json")[1])


def test_compare_says_what_the_numbers_say(run, trained: Path):
    code, out, _ = run("compare", f"LS={trained / 'ls.features'}", f"CE={trained / 'ce.features'}", "--json")
    document = json.loads(out)
    assert code == 0 and document["baseline"] == "CE"
    assert {row["verdict"] for row in document["rows"]} <= {
        "baseline", "lower than CE", "higher than CE", "not distinguishable", "equal to CE", "undefined",
    }  # fmt: skip
    assert "one run only of LS, CE" in document["notes"][0]


def test_names_are_shown_as_they_are(run, trained: Path):
    code, out, _ = run("compare", f"[/red]a={trained / 'ce.features'}", f"[bold]={trained / 'ls.features'}")
    assert code == 0 and "[/red]a" in out and "[bold]" in out


def test_a_folder_stands_for_its_stores_named_by_their_loss(run, trained: Path):
    code, out, _ = run("compare", trained, "--json")
    assert code == 0 and {row["name"] for row in json.loads(out)["rows"]} == {"CE", "LS"}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt"])
def test_features_of_the_users_own(run, tmp_path: Path, suffix: str):
    generator = torch.Generator().manual_seed(0)
    arrays = {
        "features": torch.randn(40, 5, generator=generator),
        "labels": torch.arange(40) % 4,
        "weight": torch.randn(4, 5, generator=generator),
        "bias": torch.zeros(4),
    }
    path = tmp_path / f"mine{suffix}"
    if suffix == ".npz":
        np.savez(path, **{name: part.numpy() for name, part in arrays.items()})  # type: ignore[arg-type]
    elif suffix == ".safetensors":
        save_file(arrays, path)
    else:
        torch.save(arrays, path)
    code, out, _ = run("measure", path, "--json")
    metrics = json.loads(out)["metrics"]
    assert code == 0 and all(item["value"] is not None for item in metrics.values() if item["reason"] is None)
    assert metrics["accuracy"]["value"] is not None


def test_bad_input_gets_one_line_and_exit_code_2(run, trained: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "page.pt").write_text("<!doctype html><title>404</title>")
    torch.save({"state_dict": {"fc.weight": torch.zeros(3, 2)}}, tmp_path / "foreign.pt")
    np.savez(tmp_path / "short.npz", features=np.zeros((4, 2)), labels=np.zeros(3, int))
    np.savez(
        tmp_path / "nan.npz",
        features=np.full((2, 2), np.nan),
        labels=np.zeros(2, int),
        ids=np.array(["a", "b"]),
    )
    np.savez(tmp_path / "unlabelled.npz", features=np.zeros((4, 2)))
    store, ce, test_split = (
        trained / "ce.features",
        trained / "ce.pt",
        ("--data", "digits", "--split", "test"),
    )
    expected = {
        ("measure", tmp_path / "no.pt"): "nothing is there",
        ("features", tmp_path / "no.pt"): "there is no such file",
        ("features", tmp_path / "page.pt"): "it is a web page (HTML)",
        ("features", tmp_path / "foreign.pt"): "names no data; say which with --data",
        ("features", tmp_path / "foreign.pt", *test_split): "its architecture is not known here",
        ("features", tmp_path / "foreign.pt", *test_split, "-m", "resnet18"): "holds a head alone",
        ("features", ce, "--no-logits"): "differs in: logits (on, now off); choose another output with -o, or replace",
        ("features", ce, "--dtype", "int8"): "expected --dtype float32, float16, bfloat16, got 'int8'",
        ("features", ce, "--amp", "fp8"): "expected --amp bf16 or fp16, got 'fp8'",
        ("features", ce, "--rank", "4/4"): "expected --rank RANK/WORLD, such as 0/4 to 3/4, got '4/4'",
        ("features", ce, "--on-error", "ignore"): "expected --on-error fail or skip, got 'ignore'",
        ("features", ce, "-b", "many"): "expected --batch-size of a number or auto, got 'many'",
        ("features", ce, "-j", "-1"): "expected --workers of 0 or more, got -1",
        ("features", ce, "--split", "val"): "digits has the splits train, test, none of them meant by 'val'",
        ("features", ce, "--data", "digit", "-o", tmp_path / "x"): "did you mean 'digits'?",
        ("features", ce, "--device", "cuda:99", "-o", tmp_path / "x"): "there is no device 'cuda:99'",
        ("features", ce, "-b", "0", "-o", tmp_path / "x"): "expected --batch-size above 0, got 0",
        ("features", ce, "-o", "/proc/nowhere/x"): "cannot write to",
        ("measure", tmp_path / "empty"): "found an empty folder",
        ("measure", tmp_path / "short.npz"): "expected labels to be 4 integers, one a row of features, got shape (3,)",
        ("measure", tmp_path / "nan.npz"): "expected finite features, got NaN or infinity for sample a and 1 more",
        ("measure", tmp_path / "unlabelled.npz"): "add labels",
        ("measure", store, "--json", "--csv"): "got both",
        ("compare", f"CE={store}"): "give NAME=STORE at least twice",
        ("compare", f"A={store}", f"B={store}", "--baseline", "C"): "as a baseline one of the names A, B, got 'C'",
        ("compare", f"A={store},{store}", f"B={store}"): "expected different runs of A, got the same features twice",
        ("compare", f"A={store},", f"B={store}"): "got an empty path in 'A=",
        ("compare", tmp_path / "foreign.pt", store): "that is an option of `maxsup-analyze features",
        ("measure", store, "--by", "class", "-g", "nc"): "leave --group and --metrics-from out",
        ("measure", store, "--jsn"): "No such option: --jsn (Possible options: --csv, --json); `maxsup-analyze measure",
        ("measure",): "Missing argument 'source'; `maxsup-analyze measure --help` lists what it takes",
        ("measure", store, "--match-per-class", "ten"): "Invalid value for '--match-per-class'",
        ("frob",): "No such command 'frob'. Did you mean 'probe'? `maxsup-analyze --help`",
        ("report", store, "-o", tmp_path / "x.txt"): "expected a file ending in .pdf, got x.txt",
        ("report", store, "-o", tmp_path / "x.pdf", "--html", "/proc/x.html"): "cannot write to /proc",
        ("train", "-o", tmp_path / "x.pt", "--loss", "maxsupp"): "did you mean 'maxsup'?",
        ("train", "-o", tmp_path / "x.pt", "--epochs", "0"): "expected --epochs above 0",
        ("train", "-o", tmp_path / "x.pt", "--alpha", "1.5"): "expected --alpha from 0 to below 1, got 1.5",
        ("train", "-o", tmp_path / "x.pt", "--data", "fashion-mnist", "--data-dir", tmp_path / "empty"): "--data-dir",
        ("train", "-o", tmp_path / "x.pt", "-m", "resnet"): "architecture of torchvision or timm, got 'resnet'",
        ("figure", "umapp", store, "-o", tmp_path / "x.png"): "did you mean 'umap'?",
        ("figure", "logits", store, "-o", tmp_path / "x.gif"): "png",
    }  # fmt: skip
    before = sorted(tmp_path.rglob("*"))
    for arguments, sentence in expected.items():
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), arguments
        # What was found in the checkpoint may stand above it.
        *_, last = err.splitlines()
        assert sentence in last and last.startswith("error: ") and err.count("error: ") == 1, err
    assert sorted(tmp_path.rglob("*")) == before


def test_images_that_have_the_models_size_are_not_said_to_be_resized(run, trained: Path):
    code, _, err = run("features", trained / "ce.pt", "--resize", "32")
    assert code == 0 and "nothing has changed" in err


def test_images_that_a_model_does_not_take_are_explained(run, trained: Path, tmp_path: Path):
    colours = ("--image-size", "8", "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2")
    code, _, err = run("features", trained / "ce.pt", *colours, "-o", tmp_path / "x")
    last = err.splitlines()[-1]
    assert code == 2 and "does not take images of 3 x 8 x 8" in last and "--image-size" in last


def test_classes_that_do_not_match_are_explained(run, trained: Path, tmp_path: Path):
    checkpoint = torch.load(trained / "ce.pt", weights_only=True)
    checkpoint["metadata"]["classes"] = ["a", "b"]
    torch.save(checkpoint, tmp_path / "two.pt")
    code, _, err = run("features", tmp_path / "two.pt")
    assert code == 2 and "names 2 classes but its model has 10 outputs" in err


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing(run, monkeypatch, trained: Path, tmp_path: Path, number: int, expected: int):
    def interrupted(*arguments: object, **options: object):
        os.kill(os.getpid(), number)
        yield from ()

    monkeypatch.setattr("maxsup_analysis.loading.Loader.batches", interrupted)
    code, _, err = run("features", trained / "ce.pt", "-o", tmp_path / "store")
    assert code == expected and "interrupted" in err and not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(sys, "argv", ["maxsup-analyze", "--debug", "measure", str(tmp_path / "no.pt")])
    with pytest.raises(InputError):
        cli.main()


def test_underscores_are_as_good_as_hyphens(run, trained: Path, tmp_path: Path):
    code, _, _ = run("features", trained / "ce.pt", "--batch_size=7", "-o", tmp_path / "store_of_7")
    assert code == 0 and (tmp_path / "store_of_7").is_dir()


def test_the_catalogue_lists_every_metric_and_loss(run):
    from maxsup_analysis import LOSSES, METRICS

    _, metrics, _ = run("metrics")
    assert all(f"{name}\n" in metrics for name in METRICS)
    _, losses, _ = run("losses")
    assert all(f"{name}\n" in losses for name in LOSSES)


@pytest.fixture
def one_thread():
    """Under load, linear algebra may choose other numbers of threads, and round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_demo_is_whole_deterministic_and_repeats_nothing_unasked(run, one_thread, tmp_path: Path):
    for name in ("first", "second"):
        code, out, err = run("demo", "-o", tmp_path / name, "--seeds", 1, "--epochs", 1)
        assert code == 0 and "class_separation" in out and "$ maxsup-analyze train --loss maxsup" in err
    for file in (
        "comparison.json",
        "comparison.csv",
        "report.pdf",
        "report.html",
        "metrics.svg",
        "templates.svg",
    ):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file
    code, _, err = run("demo", "-o", tmp_path / "first")
    assert code == 2 and "exists already" in err
    (tmp_path / "thesis").mkdir()
    code, _, err = run("demo", "-o", tmp_path / "thesis", "--overwrite")
    assert code == 2 and "was not written by the demo" in err


def test_a_report_of_one_run_and_a_figure(run, trained: Path, tmp_path: Path):
    code, out, _ = run("report", trained / "ce.features", "-o", tmp_path / "one.pdf")
    assert (
        code == 0 and out.strip().endswith("one.pdf") and (tmp_path / "one.pdf").read_bytes()[:4] == b"%PDF"
    )
    code, out, _ = run(
        "report", trained / "ce.features", "-o", tmp_path / "b.pdf", "--html", tmp_path / "b.html"
    )
    assert code == 0 and out.splitlines() == [str(tmp_path / "b.pdf"), str(tmp_path / "b.html")]
    code, _, _ = run("figure", "spectrum", trained, "-o", tmp_path / "spectrum.png")
    assert code == 0 and (tmp_path / "spectrum.png").read_bytes()[1:4] == b"PNG"


def test_the_figure_of_metrics_has_all_runs_whichever_is_first(run, trained: Path, tmp_path: Path):
    from maxsup_analysis.features import Extraction, extract_features
    from maxsup_analysis.training import TrainingPlan, train

    train(TrainingPlan(loss="ce", seed=1, epochs=2, train_samples=300), tmp_path / "1.pt")
    ce, ls = trained / "ce.features", trained / "ls.features"
    again = extract_features(tmp_path / "1.pt", None, Extraction()).path
    for name, (first, second) in {"one": (ce, again), "other": (again, ce)}.items():
        code, _, _ = run(
            "figure", "metrics", f"A={first},{second}", f"B={ls}", "-o", tmp_path / f"{name}.svg"
        )
        assert code == 0
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
