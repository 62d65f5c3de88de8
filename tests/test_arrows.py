"""Tests for the architecture: which module may import which. The table below is the architecture."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "maxsup_analysis"
# Module -> the modules of this package that it may import.
ARROWS = {
    module: set(imports.split())
    for module, imports in {
        "version": "",
        "errors": "",
        "labels": "",
        "table": "errors",
        # core: pure, float64, no I/O
        "losses": "errors losses table",
        "sums": "",
        "lazy": "",
        "span": "lazy",
        "identity": "errors",
        "halves": "identity",
        "given": "errors labels",
        "symmetric": "",
        "pairs": "lazy",
        "moments": "lazy pairs span",
        "surroundings": "",
        "ties": "",
        "threads": "surroundings",
        "rows": "errors sums threads",
        "representation": "errors lazy moments rows span surroundings",
        "tile": "errors halves lazy moments representation rows span ties",
        "metrics": "errors lazy losses metrics moments pairs representation rows span surroundings symmetric table "
        "tile ties",
        "held_out": "errors metrics representation rows tile",
        "fits": "errors held_out metrics representation",
        "class_rows": "rows threads",
        "class_columns": "errors metrics representation rows tile",
        "class_spectrum": "errors metrics symmetric",
        "class_averages": "class_rows class_spectrum errors floors linearisation metrics representation rows",
        "subsets": "errors metrics moments representation rows sums tile",
        "matching": "errors halves representation rows subsets surroundings",
        "span_sums": "moments span",
        "wanted": "metrics",
        "mean_pulls": "errors metrics moments tile",
        "gathering": "errors mean_pulls metrics moments representation rows span_sums symmetric ties tile wanted",
        "spectra": "errors lazy metrics representation symmetric threads tile",
        "floors": "gathering linearisation metrics moments representation span spectra",
        "linearisation": "errors gathering metrics moments representation spectra",
        "sampling": "surroundings",
        "moment_shares": "linearisation moments rows sampling tile",
        "influence": "gathering linearisation metrics moment_shares representation rows sampling spectra tile",
        "few_samples": "class_rows linearisation metrics moments representation spectra",
        "estimates": "class_averages errors few_samples fits floors gathering influence linearisation metrics "
        "representation sampling spectra subsets surroundings wanted",
        "array_rows": "errors given identity labels representation rows surroundings",
        "logit_checks": "representation rows",
        "measurements": "array_rows errors estimates given influence logit_checks metrics "
        "representation rows surroundings",
        "breakdown": "class_columns class_rows class_spectrum errors metrics representation rows sampling surroundings "
        "table tile ties",
        "contrasts": "estimates influence sampling surroundings",
        "effects": "contrasts errors estimates influence",
        "comparison": "contrasts errors labels measurements metrics sampling surroundings",
        "probe": "errors estimates surroundings",
        "projection": "errors halves representation rows surroundings ties",
        "figures": "comparison contrasts errors estimates figures files fits gathering labels metrics projection "
        "representation rows surroundings table",
        "report": "comparison contrasts errors estimates labels leftovers losses measurements metrics report rounding",
        "catalogue": "losses metrics",
        "rounding": "contrasts estimates",
        "tables": "breakdown catalogue comparison estimates labels measurements rounding",
        # from a file to a model in memory
        "leftovers": "",
        "files": "errors leftovers",
        "containers": "containers errors",
        "named_code": "errors",
        "stated": "errors labels",
        "architectures": "architectures errors labels named_code stated table",
        "geometry": "",
        "preprocessing": "errors geometry",
        "state_dicts": "containers errors",
        "naming": "errors state_dicts",
        "weights": "containers errors naming state_dicts",
        "own_format": "architectures preprocessing stated",
        "settings": "containers",
        "class_names": "containers",
        "stated_loss": "containers",
        "image_settings": "architectures errors preprocessing stated",
        "dialects": "class_names containers image_settings settings stated_loss",
        "claims": "architectures class_names containers dialects own_format preprocessing settings stated stated_loss",
        "remarks": "architectures claims dialects labels stated",
        "processors": "errors preprocessing stated",
        "hugging_face": "architectures containers errors processors stated",
        "recognition": "architectures claims containers hugging_face labels naming own_format weights",
        "inspection": "architectures claims containers errors hugging_face labels preprocessing recognition remarks "
        "stated weights",
        "checkpoints": "containers errors files inspection",
        "fitting": "architectures checkpoints errors labels recognition",
        "hooks": "errors",
        "heads": "errors hooks representation",
        "taps": "errors heads hooks",
        "classifiers": "architectures checkpoints containers errors fitting heads hooks hugging_face image_settings "
        "inspection own_format preprocessing processors representation taps",
        # shell: disk, device, terminal
        "progress": "labels",
        "spreadsheets": "labels",
        "devices": "errors",
        "sweeps": "errors rows sums threads version",
        "datasets": "datasets errors labels named_code preprocessing progress stated table",
        "name_orders": "",
        "class_maps": "datasets errors labels progress",
        "class_order": "class_maps datasets errors labels name_orders progress",
        "class_fit": "name_orders",
        "feature_store": "array_rows arrays errors feature_store files given identity leftovers ranks representation "
        "rows sweeps version",
        "arrays": "array_rows checkpoints containers errors identity representation",
        "ranks": "errors",
        "forward": "classifiers datasets errors heads progress representation taps",
        "loading": "datasets errors progress",
        "extraction": "class_fit datasets errors feature_store forward loading progress",
        "ingredients": "classifiers datasets extraction feature_store forward",
        "provenance": "checkpoints classifiers datasets extraction forward version",
        "features": "checkpoints class_order classifiers datasets devices errors extraction feature_store forward "
        "ingredients labels loading progress provenance ranks taps",
        "rehearsal": "extraction feature_store features forward loading progress",
        "training": "architectures checkpoints classifiers datasets devices errors features files hooks leftovers "
        "loading losses preprocessing progress ranks stated training version",
        "transfer": "checkpoints classifiers datasets devices errors features influence loading probe progress",
        "repeats": "errors",
        "pipeline": "arrays breakdown comparison containers errors feature_store features losses matching "
        "measurements metrics named_code progress repeats representation version",
        "reporting": "comparison errors figures files metrics pipeline progress projection report representation",
        "study": "classifiers contrasts datasets devices effects errors estimates features figures files "
        "influence labels leftovers measurements metrics pipeline progress report representation rounding "
        "spreadsheets study tables training transfer",
        "demonstration": "spreadsheets comparison errors features files pipeline progress reporting training",
        "options": "errors",
        "feature_command": "classifiers extraction features forward options preprocessing rehearsal",
        "measure_commands": "spreadsheets breakdown catalogue errors features files options pipeline reporting tables",
        "train_command": "errors files options progress ranks training",
        "probe_command": "classifiers errors options rounding transfer",
        "ablate_command": "options study tables",
        "advice": "",
        "cli": "advice ablate_command demonstration errors feature_command inspection labels measure_commands options "
        "probe_command store_commands tables train_command version",
        "store_commands": "errors feature_store labels progress tables",
        "__main__": "cli",
        "": "comparison contrasts errors estimates feature_store losses measurements metrics moments representation "
        "version",
    }.items()
}
CORE = (
    "losses", "sums", "surroundings", "ties", "threads", "lazy", "symmetric", "span", "identity", "given", "halves",
    "pairs", "moments", "rows", "representation", "tile", "metrics", "held_out", "fits", "class_rows",
    "class_columns", "class_spectrum", "class_averages", "subsets", "matching", "wanted", "span_sums", "gathering",
    "spectra", "linearisation", "floors", "moment_shares", "influence", "estimates", "array_rows", "logit_checks",
    "measurements", "breakdown", "contrasts", "effects", "comparison", "probe", "rounding", "projection", "figures",
)  # fmt: skip
# Whatever unpickles, runs a model from a file, or runs text, by the last part of the call.
UNSAFE = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "dill.load", "joblib.load", "torch.load", "torch.jit.load",
    "torch.export.load", "torch.package.PackageImporter", "torch.hub.load", "dcp.load",
    "torch.distributed.checkpoint.load", "yaml.load", "yaml.unsafe_load", "marshal.loads",
    "eval", "exec", "compile", "__import__", "shutil.unpack_archive",
}  # fmt: skip
UNSAFE_METHODS = {"extractall", "load_checkpoint", "load_from_checkpoint"}
UNSAFE_IMPORTS = {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def home(path: Path) -> str:
    """The key of a file in ARROWS."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("maxsup_analysis."):
            names.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("maxsup_analysis.")
            }
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_data(path: Path):
    assert imported(path) <= ARROWS[home(path)]


def test_every_arrow_points_at_something_that_exists():
    assert set(ARROWS) == {home(path) for path in MODULES}


@pytest.mark.parametrize("path", [path for path in MODULES if home(path) in CORE], ids=lambda path: path.name)
def test_the_core_touches_no_file(path: Path):
    if path.parts[-2:] == ("figures", "style.py"):
        pytest.skip("saves a finished figure")
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    }
    assert not calls & {"open", "print", "input"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_opens_a_file_in_a_way_that_runs_it(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & UNSAFE_IMPORTS
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in UNSAFE_IMPORTS
            assert not {f"{node.module}.{alias.name}" for alias in node.names} & UNSAFE
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in UNSAFE and called.rpartition(".")[2] not in UNSAFE_METHODS
            unsafe = {("weights_only", False), ("allow_pickle", True), ("trust_remote_code", True)}
            given = {
                (word.arg, word.value.value) for word in node.keywords if isinstance(word.value, ast.Constant)
            }
            assert not given & unsafe
            assert called not in ("np.load", "numpy.load") or ("allow_pickle", False) in given


@pytest.mark.parametrize(
    "call", ["pickle.load(f)", "torch.load(f)", "import dill", "from torch.jit import load"]
)
def test_the_ban_sees_what_it_bans(tmp_path: Path, call: str):
    (tmp_path / "module.py").write_text(call)
    with pytest.raises(AssertionError):
        test_nothing_opens_a_file_in_a_way_that_runs_it(tmp_path / "module.py")
