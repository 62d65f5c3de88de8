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
        "losses": "errors table",
        "moments": "",
        "representation": "errors moments",
        "metrics": "errors losses metrics representation table",
        "influence": "errors metrics moments representation",
        "estimates": "influence metrics representation",
        "measurements": "errors estimates metrics representation",
        "comparison": "errors estimates measurements metrics",
        "projection": "errors representation",
        "figures": "comparison errors estimates figures files labels metrics projection representation table",
        "report": "comparison estimates labels losses measurements metrics report rounding",
        "catalogue": "losses metrics",
        "rounding": "comparison estimates",
        "tables": "comparison estimates labels measurements rounding",
        # from a file to a model in memory
        "files": "errors",
        "containers": "containers errors",
        "architectures": "architectures errors",
        "preprocessing": "errors",
        "weights": "containers errors",
        "claims": "architectures containers preprocessing",
        "inspection": "architectures claims containers errors labels preprocessing weights",
        "checkpoints": "containers errors files inspection",
        "fitting": "architectures checkpoints errors inspection labels",
        "hooks": "errors",
        "heads": "errors hooks representation",
        "taps": "errors heads hooks",
        "classifiers": "architectures checkpoints errors fitting heads hooks inspection preprocessing "
        "representation table taps",
        # shell: disk, device, terminal
        "progress": "",
        "devices": "errors",
        "samples": "errors preprocessing",
        "image_folders": "errors preprocessing samples",
        "datasets": "errors image_folders samples table",
        "class_order": "datasets errors",
        "feature_store": "errors files representation",
        "arrays": "checkpoints containers errors measurements representation",
        "extraction": "classifiers datasets errors feature_store heads representation",
        "training": "architectures checkpoints classifiers datasets devices errors losses preprocessing progress "
        "samples version",
        "pipeline": "arrays checkpoints class_order classifiers comparison containers datasets devices errors "
        "extraction feature_store files labels losses measurements progress representation taps version",
        "reporting": "comparison errors figures files pipeline progress projection report representation",
        "demonstration": "comparison errors files pipeline progress reporting training",
        "cli": "catalogue classifiers demonstration errors files inspection labels pipeline preprocessing progress "
        "reporting tables training version",
        "__main__": "cli",
        "": "comparison errors estimates feature_store losses measurements metrics moments representation version",
    }.items()
}
CORE = (
    "losses", "moments", "representation", "metrics", "influence", "estimates", "measurements", "comparison",
    "rounding", "projection", "figures",
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
