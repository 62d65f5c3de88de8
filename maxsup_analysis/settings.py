"""What a file says of its run and its model, as one flat table; and which of it is about the run alone."""

import re
from collections.abc import Iterator, Mapping

from maxsup_analysis.containers import Contents, Node, Object, StoredTensor
from maxsup_analysis.containers.contents import entries_of

Settings = Mapping[str, Node]
# Settings are nested no deeper than this, and there are no more of them.
MOST_LEVELS, MOST_SETTINGS = 5, 2_000
# Where programs keep them at the top of a file; later ones go over earlier ones.
PLACES = ("cfg", "config", "hparams", "hyper_parameters", "args")
# The kind of model of transformers that is one of timm.
WRAPPER = "timm_wrapper"
# A group of settings that is the whole of them: its name says nothing.
GROUPS = frozenset({"config", "cfg", "args", "hparams", "hyper_parameters", "MODEL", "model", "model_config"})
# Groups of settings of the images of an evaluation: their names say nothing either. What they call the data is theirs.
IMAGE_GROUPS = frozenset({
    "data", "dataset", "datamodule", "data_module", "dm", "transform", "transforms", "preprocess", "preprocessing",
    "image", "images", "input", "val", "valid", "validation", "eval", "test", "val_transform", "val_transforms",
    "eval_transform", "test_transform", "normalize", "normalization", "norm",
})  # fmt: skip
OF_THE_DATA = frozenset({"name", "model", "arch", "backbone", "net", "encoder", "dataset", "data"})
# Parts of a setting's name that tell that it is about the run: optimiser, schedule, augmentation, logging, machines.
RUN = frozenset({
    "aa", "accum", "accumulate", "adam", "amp", "anneal", "apex", "aug", "augment", "augmentation", "augmix",
    "autocast", "batch", "bce", "benchmark", "best", "betas", "bs", "bucket", "cache", "checkpoint",
    "checkpointing", "ckpt", "clip", "cluster", "cmd", "color", "colour", "compile", "cooldown", "cpu", "cuda",
    "cudnn", "cutmix", "cycle", "dampening", "dataset", "datasets", "date", "ddp", "debug", "decay",
    "deepspeed", "deterministic", "dev", "device", "dir", "dist", "distill", "distillation", "distributed",
    "download", "drop", "dropblock", "dropout", "dry", "dtype", "ema", "end", "entity", "env", "epoch",
    "epochs", "erase", "erasing", "evaluate", "every", "exp", "experiment", "fast", "file", "finetune", "flags",
    "flip", "folder", "fp16", "freeze", "freq", "fuser", "gamma", "gaussian", "git", "global_rank", "gpu",
    "gpus", "grad", "gradient", "grayscale", "group", "half", "hflip", "hist", "host", "hydra", "in_memory",
    "init", "interval", "iter", "iters", "jitter", "jobs", "jsd", "kd", "keep", "last", "layer_decay", "load",
    "local", "log", "logdir", "logger", "logging", "lr", "lrs", "mask", "max_norm", "memory", "metric",
    "metrics", "milestones", "mixup", "mode", "momentum", "monitor", "multiprocessing", "neptune", "nesterov",
    "node", "nodes", "noise", "notes", "nproc", "num_gpus", "num_nodes", "num_workers", "numworkers", "only",
    "opt", "optim", "optimiser", "optimizer", "out", "output", "overwrite", "parallel", "path", "patience",
    "pbar", "persistent", "pin", "port", "precision", "prefetch", "prefetcher", "pretrained", "print", "prob",
    "profile", "progress", "project", "ra", "rand", "rank", "ratio", "recount", "recovery", "remode",
    "repeated", "repeats", "report", "reprob", "resplit", "restore", "resume", "rng", "root", "run", "runs",
    "sampler", "samples", "save", "scale", "sched", "scheduler", "scheduling", "script", "scriptable", "seed",
    "seeding", "shuffle", "slurm", "smoothing", "split", "splits", "src", "start", "state", "step", "steps",
    "strategy", "suffix", "sync", "synchronize", "tag", "tags", "tau", "teacher", "tensorboard", "threads",
    "time", "tmp", "torchcompile", "torchscript", "total", "tpu", "train", "trainer", "training", "tta", "tune",
    "unfreeze", "update", "url", "use_multi_epochs_loader", "user", "utils", "verbose", "version", "vflip",
    "wandb", "warm", "warmup", "wd", "weight_decay", "weight_decay_end", "weights", "worker", "workers",
    "world", "zero",
})  # fmt: skip
# Whole names that are about the run, whose parts do not tell it.
RUN_ALONE = frozenset({
    "alpha", "attn_only", "auto_augment", "bce_loss", "beta", "bias_weight_decay", "bn_momentum", "bpow",
    "channels_last", "clip_grad_norm", "cls_token", "comment", "criterion", "crop", "data", "data_path",
    "data_set", "dataset", "dataset_name", "dist_bn", "eval", "fused_layernorm", "fused_window_process",
    "fuser", "head_init_bias", "head_init_scale", "imagenet_pretrained", "inat_category", "input_key", "jsd_loss",
    "layer_norm_decay", "layer_scale_init_value", "lmdb", "local_rank", "loss", "lr_tta", "max_res", "mb", "min_res",
    "model_ema_decay", "mollify", "name", "no_ddp_bb", "norm_weight_decay", "npow", "num_samples", "print_freq",
    "random_erase", "rep", "split_bn", "sync_bn", "synchronize_bn", "target_key", "task", "test", "threeaugment",
    "train_crop_size", "train_mode", "transformer_embedding_decay", "unscale_lr", "use_checkpoint", "use_v2",
    "validate", "ynoise",
})  # fmt: skip


def settings_of(contents: Contents) -> dict[str, Node]:
    """Arguments of the run from wherever this kind of file keeps them, nested ones by dotted names."""
    top, beside = entries_of(contents.tree), contents.sidecars
    config = entries_of(beside.get("config.json"))
    found: dict[str, Node] = {}
    for place in (beside.get("params.json"), _of_timm(config)):
        found |= dict(_flat(place))
    for name in PLACES:
        found |= dict(_flat(top.get(name)))
    return dict(list(found.items())[:MOST_SETTINGS])


def is_timm_config(config: Mapping[str, Node]) -> bool:
    """Whether a config.json is that of timm's folders: today's with `pretrained_cfg`, or the flat one of before 0.9.

    transformers writes them too, around a network of timm.
    """
    return isinstance(config.get("architecture"), str) and config.get("model_type", WRAPPER) == WRAPPER


def _of_timm(config: Mapping[str, Node]) -> dict[str, Node]:
    """The settings of timm's config.json: what it says at the top goes over its pretrained_cfg, as in timm."""
    if not is_timm_config(config):
        return {}
    inner = entries_of(config.get("pretrained_cfg"))
    outer = {name: entry for name, entry in config.items() if name != "pretrained_cfg"}
    return {**inner, **outer}


def _flat(node: Node, path: str = "", level: int = 0) -> Iterator[tuple[str, Node]]:
    """Settings below a node: of mappings whose meaning is that of their names, each entry by itself."""
    entries = entries_of(node) if isinstance(node, Mapping | Object) else {}
    if isinstance(node, Object):
        entries = {**entries, **entries_of(entries.get("items"))}
    for name, entry in entries.items():
        place = name if name in GROUPS and not path else f"{path}.{name}" if path else name
        if isinstance(entry, StoredTensor):
            continue
        if name in IMAGE_GROUPS and not path and level < MOST_LEVELS and isinstance(entry, Mapping | Object):
            inner = _flat(entry, path, level + 1)
            yield from (pair for pair in inner if pair[0].partition(".")[0] not in OF_THE_DATA)
            continue
        if name in GROUPS and level < MOST_LEVELS and isinstance(entry, Mapping | Object):
            yield from _flat(entry, path, level + 1)
        else:
            yield place, entry


def is_of_the_run(name: str) -> bool:
    """Whether a setting is about optimiser, schedule, augmentation, logging or machines, not about the model.

    Example:
        >>> is_of_the_run("warmup_lr"), is_of_the_run("data.num_workers"), is_of_the_run("crop_pct")
        (True, True, False)
    """
    small = re.sub(r"[-/]", "_", name.lower())
    parts = small.split(".")
    last = parts[-1]
    return last in RUN_ALONE or any(word in RUN for part in parts for word in (part, *part.split("_")))


def says_nothing(value: Node) -> bool:
    """Whether a setting leaves it to the program: none, empty, or off."""
    return (
        value is None or value is False or value in ("", (), {}) or (isinstance(value, Mapping) and not value)
    )
