"""The programs that write checkpoints: how their files are known, what they state of a model, and what of it is used.

One table. What a file states is used, or it is about the run alone, or it is named as stated and not used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from maxsup_analysis import image_settings
from maxsup_analysis.class_names import numbers_classes
from maxsup_analysis.containers import Contents, Node, Object, StoredTensor
from maxsup_analysis.containers.contents import entries_of
from maxsup_analysis.image_settings import DEVIATIONS, INCEPTION, MEANS, RESIZES, SIDES, Images
from maxsup_analysis.settings import Settings, is_of_the_run, is_timm_config, says_nothing
from maxsup_analysis.stated_loss import SMOOTHINGS

OWN_FORMAT = "maxsup-analysis checkpoint"
LONG_TAILED = "Long-Tailed Recognition"
MODEL_KEYS = (
    "model",
    "arch",
    "architecture",
    "model_name",
    "backbone",
    "net",
    "model.arch",
    "name",
    "encoder",
    "NAME",
)
# What the tensors show by themselves: it is held against them.
SHOWN_BY_TENSORS = (
    "use_blurpool",
    "num_classes",
    "nb_classes",
    "NUM_CLASSES",
    "num_features",
    "n_classes",
    "in_chans",
    "in_channels",
)
LOSS_KEYS = (*SMOOTHINGS, "loss", "criterion", "loss_type", "loss_name", "max_sup", "maxsup")
USUAL = (*MODEL_KEYS, *SHOWN_BY_TENSORS, *LOSS_KEYS)
TIMM_IMAGES = ("input_size", "img_size", "crop_pct", "crop_mode", "mean", "std", "interpolation")
# Of timm's pretrained_cfg: which file the published weights lie in, and what its program does not use by default.
TIMM_PUBLISHED = (
    "url", "file", "hf_hub_id", "hf_hub_filename", "source", "license", "origin_url", "paper_name", "paper_ids",
    "notes", "tag", "custom_load", "first_conv", "classifier", "pool_size", "test_pool_size", "test_input_size",
    "test_crop_pct", "min_input_size", "fixed_input_size", "label_descriptions", "label_offset", "description",
    "dtype", "model_card",
    "library_name", "timm_version",
)  # fmt: skip
FREE_IMAGES = (*MEANS, *DEVIATIONS, "interpolation", "crop_pct", *SIDES, *RESIZES)

Applies = Callable[[Mapping[str, Node], Settings, Mapping[str, Node]], bool]


@dataclass(frozen=True)
class Dialect:
    """A program that writes checkpoints.

    applies: whether a file is one of its, from what lies at its top, its settings, and the config.json beside it.
    images: how it prepares images in evaluation. used: the settings that decide network, images, classes or loss.
    published: settings about weights that were published. arguments: settings that are arguments of the constructor
    -> how the constructor calls them. groups: settings that are tables of such arguments. timm_first: its names of
    networks are those of timm.
    """

    name: str
    applies: Applies
    images: Images = image_settings.of_others
    used: tuple[str, ...] = FREE_IMAGES
    published: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ("model_kwargs", "model_args")
    timm_first: bool = False

    def stated_arguments(self, settings: Settings, architecture: str) -> dict[str, Node]:
        """Arguments of the constructor of an architecture that the settings hold."""
        library = architecture.partition("/")[0]
        if self.name == "torchvision references" and architecture in INCEPTION:
            # What torchvision's published weights expect of the images, they change inside of the network.
            return {"transform_input": isinstance(settings.get("weights"), str) and settings["weights"] != ""}
        if library != "timm":
            return {}
        stated = {theirs: settings.get(theirs) for theirs in self.arguments}
        found = {self.arguments[theirs]: value for theirs, value in stated.items() if not says_nothing(value)}
        for group in self.groups:
            found |= {
                name: value for name, value in entries_of(settings.get(group)).items() if value is not None
            }
        return found

    def unused(self, settings: Settings) -> tuple[str, ...]:
        """What is stated, not about the run alone, and not used."""
        used = {*USUAL, *self.used, *self.published, *self.arguments, *self.groups}
        return tuple(
            name
            for name, value in settings.items()
            if name not in used and not numbers_classes(name, value) and name.partition(".")[0] not in self.groups
            and not says_nothing(value) and not is_of_the_run(name) and not name.startswith("_")
        )  # fmt: skip


def _keys(*names: str) -> Applies:
    return lambda top, said, config: set(names) <= set(top)


# What transformers writes around a network of timm, and what changes nothing of its logits.
AROUND_TIMM = (
    "model_type", "architectures", "do_pooling", "initializer_range", "transformers_version", "torch_dtype",
    "return_dict", "output_hidden_states", "problem_type",
)  # fmt: skip
TIMM_ARGUMENTS = {"gp": "global_pool", "global_pool": "global_pool", "bn_eps": "bn_eps"}
DIALECTS: tuple[Dialect, ...] = (
    Dialect("maxsup-analysis", lambda top, said, config: str(top.get("format", "")).startswith(OWN_FORMAT)),
    Dialect("Hugging Face, transformers", lambda top, said, config: "model_type" in config
            and not is_timm_config(config)),
    Dialect("Hugging Face, timm", lambda top, said, config: is_timm_config(config), image_settings.of_timm,
            TIMM_IMAGES, (*TIMM_PUBLISHED, *AROUND_TIMM), {"global_pool": "global_pool"}, timm_first=True),
    Dialect("PyTorch Lightning", _keys("pytorch-lightning_version"),
            used=(*FREE_IMAGES, "config.model", "class_map"), arguments={"global_pool": "global_pool"}),
    Dialect("timm train.py", _keys("arch", "state_dict", "version"), image_settings.of_timm,
            (*TIMM_IMAGES, "class_map", "input_img_mode"), (), TIMM_ARGUMENTS, timm_first=True),
    Dialect("mmengine", _keys("meta", "message_hub")),
    Dialect("DINO", _keys("student", "teacher"), used=(*FREE_IMAGES, "patch_size", "out_dim")),
    Dialect("Swin Transformer", _keys("model", "max_accuracy", "config"), image_settings.of_swin,
            ("DATA", "TEST", "TYPE", "SWIN", "SWINV2", "SWIN_MLP", "SWIN_MOE", "AUG", "BASE"), timm_first=True),
    Dialect("DeiT", lambda top, said, config: {"model", "scaler", "args", "lr_scheduler", "optimizer"} <= set(top)
            and bool({"nb_classes", "data_set"} & set(said)), image_settings.of_deit,
            ("input_size", "eval_crop_ratio"), timm_first=True),
    Dialect("MAE", lambda top, said, config: {"model", "scaler", "args"} <= set(top) and "global_pool" in said,
            image_settings.of_mae, ("input_size", "global_pool", "cls_token"), timm_first=True),
    Dialect("ConvNeXt", lambda top, said, config: {"model", "scaler", "args"} <= set(top)
            and "layer_scale_init_value" in said, image_settings.of_convnext,
            ("input_size", "crop_pct", "imagenet_default_mean_and_std"), timm_first=True),
    Dialect("torchvision references", _keys("model", "optimizer", "lr_scheduler", "args"),
            image_settings.of_torchvision, ("val_resize_size", "val_crop_size", "interpolation", "backend")),
    Dialect("OpenCLIP", _keys("name", "state_dict", "optimizer", "scaler")),
    Dialect("pytorch/examples imagenet", _keys("arch", "state_dict"), image_settings.of_examples),
    Dialect("PyTorch tutorial", _keys("model_state_dict", "optimizer_state_dict")),
    Dialect("VISSL", _keys("classy_state_dict")),
    Dialect("Composer", _keys("state", "rng")),
    Dialect(LONG_TAILED, _keys("state_dict_best")),
    Dialect("pytorch-cifar", _keys("net", "acc")),
    Dialect("robustness", _keys("schedule", "amp")),
    Dialect("Detectron2", lambda top, said, config: "matching_heuristics" in top or "__author__" in top),
    Dialect("DeepSpeed", _keys("ds_version")),
    Dialect("fastai", lambda top, said, config: {"model", "opt"} == set(top)),
    Dialect("ffcv-imagenet", lambda top, said, config: "model.arch" in said, image_settings.of_ffcv,
            ("model.arch", "validation.resolution", "training.use_blurpool")),
)  # fmt: skip


def dialect_of(contents: Contents, settings: Settings) -> Dialect:
    """The program that wrote a container; what is not in the table is known by its form alone."""
    top, config = entries_of(contents.tree), entries_of(contents.sidecars.get("config.json"))
    for dialect in DIALECTS:
        if dialect.applies(top, settings, config):
            return dialect
    return Dialect(_form(contents, top), lambda top, said, config: True)


def _form(contents: Contents, top: Mapping[str, Node]) -> str:
    if isinstance(contents.tree, Object):
        return f"object of class {contents.tree.name[:80]}"
    if any(isinstance(entry, StoredTensor) for entry in top.values()):
        whole = any(name.startswith("torch.nn.modules") for name in contents.foreign)
        return "whole module" if whole else "state dict"
    return "dictionary"
