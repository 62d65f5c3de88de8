"""How fast `measure` is, beside the physical limit and what else there is: `python benchmarks/measure.py`.

Features of N, D, K are written in the store's format. In one process, one after the other and round after round, so
that ratios are fair whatever else the machine does:

limit       one read of the store and one N x K x D product in float32; for the full suite one N x D x D product more
standard    the standard suite, without and with standard errors
full        all metrics, without and with standard errors (--full)
textbook    the same standard metrics from their definitions, in three passes over features in memory
others      kowalski and torchmetrics on the metrics that they share, where they are installed

Medians over the rounds. Memory is the peak of resident memory above what the process has once libraries are loaded;
pages of the store that are mapped into memory count.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from maxsup_analysis.feature_store import Batch, ContentKey, FeatureStore, StorePlan, open_store, write_store
from maxsup_analysis.measurements import Measurements, measure_representation
from maxsup_analysis.metrics.groups import chosen
from maxsup_analysis.representation import Head, class_numbers

SHARD = 4096
TYPES = {"float32": torch.float32, "float16": torch.float16}
Array = torch.Tensor


def batches(N: int, weight: Array, dtype: torch.dtype, *, with_logits: bool) -> Iterator[Batch]:
    """Rectified Gaussian classes around their rows of the head; a quarter of the labels are drawn anew.

    So a quarter is classified wrongly, and what looks at right and wrong samples apart has both to look at.
    """
    generator = torch.Generator().manual_seed(0)
    K, D = weight.shape
    for start in range(0, N, SHARD):
        n = min(SHARD, N - start)
        labels = torch.randint(K, (n,), generator=generator)
        features = torch.relu(0.3 * weight[labels] + torch.randn(n, D, generator=generator))
        anew = torch.rand(n, generator=generator) < 0.25
        labels = torch.where(anew, torch.randint(K, (n,), generator=generator), labels)
        logits = (0.02 * features @ weight.T).to(dtype) if with_logits else None
        yield Batch(torch.arange(start, start + n), labels, features.to(dtype), logits)


def make_store(
    path: Path, N: int, D: int, K: int, dtype: torch.dtype, *, with_logits: bool = True
) -> FeatureStore:
    """The store, in pieces of a shard."""
    weight = torch.randn(K, D, generator=torch.Generator().manual_seed(1))
    plan = StorePlan(ContentKey({}), class_numbers(K), Head(0.02 * weight.double()), {})
    return write_store(path, batches(N, weight, dtype, with_logits=with_logits), plan)


def read_store(store: FeatureStore) -> None:
    """Every byte of the shards, into a buffer."""
    buffer = bytearray(max(shard.bytes for shard in store.shards))
    for shard in store.shards:
        with (store.path / shard.file).open("rb", buffering=0) as file:
            file.readinto(buffer)


def multiply(N: int, D: int, columns: int) -> None:
    """One N x D x columns product in float32, a shard at a time."""
    left, right = torch.randn(SHARD, D), torch.randn(D, columns)
    for start in range(0, N, SHARD):
        torch.mm(left[: min(SHARD, N - start)], right)


def limit(store: FeatureStore, K: int, *, full: bool) -> None:
    """What no implementation can do without."""
    read_store(store)
    multiply(store.size, store.dimensions, K)
    if full:
        multiply(store.size, store.dimensions, store.dimensions)


def ours(store: FeatureStore, group: str, *, errors: bool) -> Measurements:
    """The suite."""
    return measure_representation(store.represent(), metrics=chosen([group]), standard_errors=errors)


def textbook(store: FeatureStore) -> dict[str, float]:
    """Three passes over everything in memory: class means, covariances, nearest means; then logits."""
    rows = [(batch.features.float(), batch.labels, batch.logits) for batch in store.batches()]
    features, labels = torch.cat([part[0] for part in rows]), torch.cat([part[1] for part in rows])
    logits = torch.cat([part[2] for part in rows if part[2] is not None]).float()
    N, K = len(labels), int(labels.max()) + 1
    counts = torch.bincount(labels, minlength=K).float()[:, None]
    means = torch.zeros(K, features.shape[1]).index_add_(0, labels, features) / counts
    units = torch.nn.functional.normalize(features)
    directions = torch.zeros_like(means).index_add_(0, labels, units) / counts
    centred = means - means.mean(0)
    deviations = features - means[labels]
    within, between = deviations.T @ deviations / N, centred.T @ centred / K
    d_within = 1 - directions.square().sum(1).mean()
    nearest = torch.cat([torch.cdist(part, means).argmin(1) for part in features.split(SHARD)])
    simplex = (torch.eye(K) - 1 / K) / (K - 1) ** 0.5
    gram = centred @ centred.T
    confidence, predicted = logits.softmax(1).max(1)
    found = {
        "d_within": d_within,
        "class_separation": 1 - d_within / (1 - directions.mean(0).square().sum()),
        "nc1_pinv": (within @ torch.linalg.pinv(between.double(), rtol=1e-9, hermitian=True).float()).trace()
        / K,
        "nc1_trace_ratio": within.trace() / between.trace(),
        "nc2_etf_means": (gram / gram.norm() - simplex).norm(),
        "nc4_agreement": (nearest == predicted).float().mean(),
        "accuracy": (predicted == labels).float().mean(),
        "nll": torch.nn.functional.cross_entropy(logits, labels),
        "mean confidence": confidence.mean(),
    }
    return {name: float(value) for name, value in found.items()}


def kowalski_on(store: FeatureStore) -> None:
    """Its neural collapse metrics, which want one tensor a class, in memory, and hold n x D x D numbers of it."""
    from kowalski.neural_collapse import neural_collapse_metrics  # type: ignore[import-not-found]

    features = torch.cat([batch.features.float() for batch in store.batches()])
    labels = torch.cat([batch.labels for batch in store.batches()])
    groups = [features[labels == k] for k in range(len(store.class_names))]
    assert store.head is not None
    bias = torch.zeros(len(groups)) if store.head.bias is None else store.head.bias.float()
    neural_collapse_metrics(groups, store.head.weight.float(), bias)


def torchmetrics_on(store: FeatureStore) -> None:
    """Accuracy and calibration error."""
    from torchmetrics.functional.classification import (  # type: ignore[import-not-found]
        multiclass_accuracy,
        multiclass_calibration_error,
    )

    logits = torch.cat([batch.logits.float() for batch in store.batches() if batch.logits is not None])
    labels = torch.cat([batch.labels for batch in store.batches()])
    multiclass_accuracy(logits, labels, num_classes=logits.shape[1], average="micro")
    multiclass_calibration_error(logits, labels, num_classes=logits.shape[1], n_bins=15)


def contenders(store: FeatureStore, K: int, given: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """Name -> what is timed."""
    timed: dict[str, Callable[[], object]] = {
        "limit": lambda: limit(store, K, full=False),
        "standard, no standard errors": lambda: ours(store, "standard", errors=False),
        "standard, with standard errors": lambda: ours(store, "standard", errors=True),
    }
    if given.full:
        timed["limit of the full suite"] = lambda: limit(store, K, full=True)
        timed["full, no standard errors"] = lambda: ours(store, "all", errors=False)
        timed["full, with standard errors"] = lambda: ours(store, "all", errors=True)
    if given.others:
        timed["textbook, nine of the metrics"] = lambda: textbook(store)
        if find_spec("kowalski"):
            timed["kowalski, five of the metrics"] = lambda: kowalski_on(store)
        if find_spec("torchmetrics"):
            timed["torchmetrics, two of the metrics"] = lambda: torchmetrics_on(store)
    return timed


def seconds(job: Callable[[], object]) -> float:
    """Wall time."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def status(word: str) -> float:
    """A line of /proc/self/status, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{word}:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def peak(job: Callable[[], object]) -> float:
    """How far resident memory rises above where it is now, in MB."""
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    job()
    return status("VmHWM") - before


def once(store: FeatureStore, dtype: str) -> None:
    """The standard suite without standard errors, one time, for stores so large that this says enough."""
    took: list[float] = []
    held = peak(lambda: took.append(seconds(lambda: ours(store, "standard", errors=False))))
    N, K = store.size, len(store.class_names)
    print(
        f"N = {N:,}, D = {store.dimensions}, K = {K:,}, {dtype}: standard, no standard errors: {took[0]:.0f} s, "
        f"{N / took[0]:,.0f} rows/s, {held:,.0f} MB, resident at most {status('VmHWM'):,.0f} MB"
    )


def one(given: argparse.Namespace, K: int) -> None:
    """All contenders on one store; this process does nothing else."""
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path, dtype = Path(folder) / "store", TYPES[given.dtype]
        make_store(path, given.samples, given.features, K, dtype, with_logits=not given.no_logits)
        store = open_store(Path(folder) / "store")
        warm = make_store(
            Path(folder) / "small", 4 * K if K < 2000 else SHARD, 8, K if K < 2000 else 10, torch.float32
        )
        for group in ("standard", "all") if given.full else ("standard",):
            ours(warm, group, errors=True)  # whatever is imported or set up at first use
        if given.once:
            once(store, given.dtype)
            return
        timed = contenders(store, K, given)
        memory = {name: peak(job) for name, job in timed.items() if name.startswith(("standard", "full"))}
        rounds = [{name: seconds(job) for name, job in timed.items()} for _ in range(given.rounds)]
    print(f"N = {given.samples:,}, D = {given.features}, K = {K:,}, {given.dtype}; {given.rounds} rounds\n")
    print(f"{'':34s} {'seconds':>9s} {'x limit':>8s} {'MB':>6s}")
    for name in timed:
        base = "limit of the full suite" if name.startswith("full") else "limit"
        ratio = statistics.median(times[name] / times[base] for times in rounds)
        took = statistics.median(times[name] for times in rounds)
        held = f"{memory[name]:6.0f}" if name in memory else ""
        print(f"{name:34s} {took:9.2f} {ratio:8.2f} {held:>6s}")
    for suite in ("standard", "full"):
        plain, errors = f"{suite}, no standard errors", f"{suite}, with standard errors"
        if plain in timed:
            ratio = statistics.median(times[errors] / times[plain] for times in rounds)
            print(f"{suite}: standard errors take {ratio:.2f} times the time without")
    print(flush=True)


def main() -> None:
    """A process for each K, so that the memory of one does not hide that of another."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--classes", default="10,100,1000", help="K, or several with commas")
    parser.add_argument("--dtype", choices=TYPES, default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="all metrics too")
    parser.add_argument("--others", action="store_true", help="textbook, kowalski and torchmetrics too")
    parser.add_argument(
        "--folder", help="where the store is written; by default the system's temporary folder"
    )
    parser.add_argument("--once", action="store_true", help="the standard suite once, for large stores")
    parser.add_argument("--no-logits", action="store_true", help="store none: the head makes them")
    given = parser.parse_args()
    classes = [int(K) for K in given.classes.split(",")]
    if len(classes) == 1:
        one(given, classes[0])
        return
    for K in classes:
        # The last of two equal options counts.
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--classes", str(K)], check=True)


if __name__ == "__main__":
    main()
