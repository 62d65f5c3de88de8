"""Peak memory of an extraction against the number of rows: each in a process of its own. Prints a Markdown table.

    python benchmarks/extraction_memory.py     about three minutes on two cores

The memory is anonymous: what the process holds itself, without the pages of the file of images, which is mapped.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from maxsup_analysis.architectures.small import small_cnn
from maxsup_analysis.checkpoints import save_checkpoint

FEW, MANY = 40_960, 409_600
RUN = """
import sys, threading, time
from pathlib import Path
from maxsup_analysis.features import Extraction, extract_features

def anonymous():
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) // 1024

def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.005)

peak, folder = [0], Path(sys.argv[1])
threading.Thread(target=watch, daemon=True).start()
how = Extraction(data=str(folder / "images.npy"), device="cpu", workers=int(sys.argv[2]))
extract_features(folder / "net.pt", folder / "s.features", how)
print(peak[0])
"""


def peak(count: int, workers: int) -> int:
    """MB at the peak."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, count)
        command = [sys.executable, "-c", RUN, folder, str(workers)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def write(folder: Path, count: int) -> None:
    """A network with 512 features, and images for it."""
    arguments = {"channels": 1, "classes": 10, "widths": [8, 8, 512]}
    metadata = {
        "architecture": {"name": "small_cnn", "arguments": arguments},
        "preprocessing": {"size": [1, 8, 8], "mean": [0.5], "std": [0.25]},
    }
    torch.manual_seed(0)
    save_checkpoint(folder / "net.pt", small_cnn(1, 10, (8, 8, 512)).state_dict(), metadata)
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8))
    np.save(folder / "labels.npy", np.arange(count) % 10)


def main() -> None:
    """Rows, and ten times the rows."""
    print("| rows | workers | peak memory |\n|---|---|---|")
    for workers in (0, 2):
        few, many = peak(FEW, workers), peak(MANY, workers)
        print(
            f"| {FEW:,} | {workers} | {few} MB |\n| {MANY:,} | {workers} | {many} MB ({many / few - 1:+.1%}) |"
        )


if __name__ == "__main__":
    main()
