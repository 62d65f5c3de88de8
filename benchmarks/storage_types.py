"""What storing float16 or bfloat16 does to each metric: digits, a network of `train`. Prints a Markdown table.

python benchmarks/storage_types.py
"""

import tempfile
from pathlib import Path

from maxsup_analysis.extraction import Storage
from maxsup_analysis.features import Extraction, extract_features
from maxsup_analysis.measurements import Measurements, measure_representation
from maxsup_analysis.training import TrainingPlan, train

TYPES = ("float16", "bfloat16")


def measured(checkpoint: Path, dtype: str) -> Measurements:
    """All metrics of the features stored as this type."""
    how = Extraction(storage=Storage(dtype), device="cpu")
    store = extract_features(checkpoint, checkpoint.with_suffix(f".{dtype}"), how)
    return measure_representation(store.represent())


def main() -> None:
    """One row a metric: its value, and how far the others are from it, relative and in standard errors."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "ls.pt"
        train(TrainingPlan(loss="ls"), checkpoint)
        exact, *rounded = (measured(checkpoint, dtype) for dtype in ("float32", *TYPES))
    print("| metric | float32 |", " | ".join(f"{dtype}, relative | in SE" for dtype in TYPES), "|")
    print("|---" * (2 + 2 * len(TYPES)) + "|")
    for name, item in exact.items():
        cells = []
        for other in rounded:
            gap = abs(other[name].value - item.value)
            # Metrics of the head alone depend on no sample.
            cells += [f"{gap / (abs(item.value) or 1):.1e}", f"{gap / (item.standard_error or 1):.1e}"]
        print(f"| `{name}` | {item.value:.6g} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
