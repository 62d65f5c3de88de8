"""Every state dict in a container: where it stands, whether it is an average over training, what of it is not read."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from maxsup_analysis.containers import Node, Object, StoredTensor
from maxsup_analysis.containers.contents import entries_of, tensors_in, unread_tensor
from maxsup_analysis.errors import InputError

Tensors = Mapping[str, StoredTensor]

# Preferred places of weights, the first first; "" is the top of the file.
RAW_PLACES = (
    "", "state_dict", "model", "model_state_dict", "current_model_state", "online_model", "net", "network", "params",
    "module", "teacher", "student", "state_dict_best", "trunk", "backbone",
)  # fmt: skip
EMA_PLACES = (
    "state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "params_ema", "model_ema_state_dict",
    "average_model_state", "averaged_model", "average_model", "swa_model", "swa_state_dict", "ema_net", "net_ema",
    "ema_weights", "ema_params",
)  # fmt: skip
# Words of a place that tell an average, whatever else stands in its name: `state_dict_swa`, `EMA`, `model_ema2`.
AVERAGED = re.compile(r"(?:^|[\W\d_])(?:ema|swa|avg|averaged?|polyak|shadow|lawa)(?:[\W\d_]|$)")
# Parts of one state dict that are a second network, the average of the first.
EMA_PARTS = frozenset(place for place in EMA_PLACES if not place.endswith(("dict", "state", "params")))
# Beside an average and its source stand the counters of the program that took it, which are no weights.
AVERAGE_COUNTERS = frozenset({"initted", "step", "n_averaged"})
NOT_WEIGHTS = frozenset({
    "optim", "sched", "scaler", "loops", "callbacks", "rng", "random_state", "criterion", "hyper_param", "hparams",
    "message_hub", "meters", "loss", "__metadata__", "datamodule", "buffer_names", "param_shapes", "averaging_state",
})  # fmt: skip
NOT_WEIGHTS_EXACTLY = frozenset({"amp", "opt", "args", "config", "meta", "dls", "heads"})
# What to do about tensors of a class of their own, by the beginning of its name.
UNREAD_ADVICE = {
    "torch.distributed": "a part of each tensor, that of one rank; save the whole weights (get_model_state_dict with "
    "full_state_dict=True), or name the folder that torch.distributed.checkpoint writes",
    "torchao": "quantised weights; save the model before quantising it",
    "sparse": "sparse tensors; save them after to_dense()",
    "nested": "nested tensors; save plain ones",
    "without contents": "no numbers; save the model once its weights are loaded",
    "": "tensors whose numbers are not read; save plain tensors (tensor.detach().clone() of what they mean)",
}


@dataclass(frozen=True)
class Candidate:
    """A state dict in the file: where it stands, and whether it is an average over training.

    unread: names of the tensors whose numbers are not read -> what they are.
    """

    key: str
    ema: bool
    tensors: Tensors
    unread: Mapping[str, str] = field(default_factory=dict)

    def require_read(self) -> None:
        """Raise InputError that names the class of tensors that are not read."""
        for name, kind in self.unread.items():
            advice = next(words for start, words in UNREAD_ADVICE.items() if kind.startswith(start))
            raise InputError(
                f"{len(self.unread)} of its tensors are {kind[:80]} ({name[:60]!r}): it holds {advice}"
            )


def candidates_in(tree: Node) -> tuple[Candidate, ...]:
    """Every state dict below, the preferred first."""
    return tuple(sorted(_candidates(tree), key=_rank))


def is_average(place: str) -> bool:
    """Whether a place in a file is called as that of an average over training: it, or what it lies in.

    Example:
        >>> is_average("state_dict_swa"), is_average("EMA.shadow"), is_average("model"), is_average("avgpool")
        (True, True, False, False)
    """
    return any(part in EMA_PLACES or AVERAGED.search(part.lower()) for part in place.split("."))


def evaluates_average(tree: Node) -> bool:
    """Whether the program that wrote the file evaluates the average: timm's train.py, Lightning's WeightAveraging."""
    entries = entries_of(tree)
    return ("state_dict_ema" in entries and "arch" in entries) or _swapped_by_lightning(entries)


def is_state_dict(entries: Mapping[str, Node]) -> bool:
    """Whether these are weights by name: `layer.weight`, or the weight and bias of one layer."""
    names = [name for name, entry in entries.items() if _is_tensor(entry)]
    return any("." in name.strip(".") for name in names) or {"weight"} <= set(names) <= {"weight", "bias"}


def _is_tensor(node: Node) -> bool:
    return isinstance(node, StoredTensor) or unread_tensor(node) is not None


def _rank(candidate: Candidate) -> tuple[bool, int, int]:
    last = candidate.key.rpartition(".")[2]
    order = EMA_PLACES if candidate.ema else RAW_PLACES
    return candidate.ema, order.index(last) if last in order else len(order), candidate.key.count(".")


def _candidates(tree: Node, path: str = "") -> Iterator[Candidate]:
    """mmengine, known by its `message_hub`, and Lightning's WeightAveraging write average and raw the other way."""
    entries = entries_of(tree)
    if is_state_dict(entries):
        ema = is_average(path) or "n_averaged" in entries
        yield from _parted(_candidate(path, ema, entries))
        return
    joined = _joined(entries)
    if joined:
        yield Candidate(path, is_average(path), joined)
        return
    swapped = "message_hub" in entries or _swapped_by_lightning(entries)
    for name, entry in entries.items():
        if isinstance(entry, Mapping | Object) and not _is_of_the_run(name):
            for found in _candidates(entry, f"{path}.{name}" if path else name):
                swaps = swapped and name in ("state_dict", "ema_state_dict")
                yield replace(found, ema=not found.ema) if swaps else found
    yield from _averages_of_callbacks(entries.get("callbacks"), path)


def _is_of_the_run(name: str) -> bool:
    """Whether an entry is about the run and not the network: optimiser, schedule, loss."""
    small = name.lower()
    return small in NOT_WEIGHTS_EXACTLY or any(part in small for part in NOT_WEIGHTS)


def _swapped_by_lightning(entries: Mapping[str, Node]) -> bool:
    return {"state_dict", "current_model_state", "averaging_state"} <= set(entries)


def _averages_of_callbacks(callbacks: Node, path: str) -> Iterator[Candidate]:
    """Lightning's StochasticWeightAveraging keeps its average among the states of the callbacks."""
    for name, state in entries_of(callbacks).items():
        for key, entry in entries_of(state).items():
            if is_average(key) and is_state_dict(average := entries_of(entry)):
                place = f"callbacks.{name}.{key}"
                yield _candidate(f"{path}.{place}" if path else place, True, average)


def _candidate(path: str, ema: bool, entries: Mapping[str, Node]) -> Candidate:
    unread = {name: kind for name, entry in entries.items() if (kind := unread_tensor(entry)) is not None}
    tensors = {name: entry for name, entry in entries.items() if isinstance(entry, StoredTensor)}
    return Candidate(path, ema, tensors, unread)


def _parted(whole: Candidate) -> Iterator[Candidate]:
    """A state dict that holds a network and its average, as that of ema-pytorch: each by itself."""
    names = [name for name in whole.tensors if name not in AVERAGE_COUNTERS]
    average = next((part for part in EMA_PARTS if any(name.startswith(f"{part}.") for name in names)), None)
    if average is None:
        yield whole
        return
    of_average = {name: whole.tensors[name] for name in names if name.startswith(f"{average}.")}
    others = {name: whole.tensors[name] for name in names if name not in of_average}
    path = f"{whole.key}." if whole.key else ""
    yield Candidate(f"{path}{average}", True, of_average, whole.unread)
    if any(name.count(".") for name in others):
        firsts = {name.partition(".")[0] for name in others}
        source = firsts.pop() if len(firsts) == 1 else whole.key
        yield Candidate(
            f"{path}{source}" if source != whole.key else whole.key, whole.ema, others, whole.unread
        )


def _joined(entries: Mapping[str, Node]) -> dict[str, StoredTensor] | None:
    """A body and a head that are kept apart, as one."""
    bodies = [
        name
        for name in ("feat_model", "features", "backbone")
        if is_state_dict(entries_of(entries.get(name)))
    ]
    heads = [name for name in ("classifier", "fc", "head") if is_state_dict(entries_of(entries.get(name)))]
    if len(bodies) != 1 or len(heads) != 1:
        return None
    body, head = dict(tensors_in(entries[bodies[0]])), dict(tensors_in(entries[heads[0]]))
    return body | {f"{heads[0]}.{name.removeprefix('module.')}": tensor for name, tensor in head.items()}
