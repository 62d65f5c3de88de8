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
        # shell: disk, device, terminal
        "progress": "",
        "files": "errors",
        "devices": "errors",
        "datasets": "errors table",
        "checkpoints": "errors files",
        "classifiers": "checkpoints errors representation table",
        "feature_store": "errors files representation",
        "arrays": "errors measurements representation",
        "extraction": "classifiers datasets errors feature_store",
        "training": "checkpoints classifiers datasets devices errors losses progress version",
        "pipeline": "arrays checkpoints classifiers comparison datasets devices errors extraction feature_store "
        "files losses measurements progress representation version",
        "reporting": "comparison errors figures files pipeline progress projection report representation",
        "demonstration": "comparison errors files pipeline progress reporting training",
        "cli": "catalogue demonstration errors files pipeline progress reporting tables training version",
        "": "comparison errors estimates feature_store losses measurements metrics moments representation version",
    }.items()
}
CORE = (
    "losses", "moments", "representation", "metrics", "influence", "estimates", "measurements", "comparison",
    "rounding", "projection", "figures",
)  # fmt: skip
UNSAFE = {
    "pickle.load", "pickle.loads", "torch.jit.load", "torch.export.load", "yaml.load", "eval", "exec", "dcp.load",
    "torch.distributed.checkpoint.load",
}  # fmt: skip
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
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in UNSAFE
            unsafe = {("weights_only", False), ("allow_pickle", True), ("trust_remote_code", True)}
            given = {
                (word.arg, word.value.value) for word in node.keywords if isinstance(word.value, ast.Constant)
            }
            assert not given & unsafe
            if ast.unparse(node.func) == "torch.load":
                assert ("weights_only", True) in given
