"""What a transformers config.json may choose: kind of model, numbers and words, by closed tables and within bounds.

Nothing here imports transformers. What comes out holds no text of the file; what a file may not state, code, remote
parts, quantisation, is refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt

from maxsup_analysis.architectures.accepted import Argument, either, flag, nothing, real, several, whole, word
from maxsup_analysis.architectures.transformers_fields import DERIVED, FIELDS, HEADS, IDLE, TEACHER_HEADS
from maxsup_analysis.errors import InputError
from maxsup_analysis.stated import Stated

# Deeper than any published image classifier, in blocks of one stage; and wider, where no tensors show it.
MOST_LAYERS, MOST_WIDTH, MOST_SIDE, MOST_CLASSES = 256, 1 << 16, 1 << 11, 1 << 20
# Of kernels, strides and heads; of layers inside of a block; of a ratio of widths; of EfficientNet's factor of depths.
MOST_SMALL, MOST_INNER, MOST_RATIO, MOST_DEPTH_FACTOR = 1 << 12, 16, 1000, 8.0
DEPTHS = ("depths", "depth", "num_block_repeats", "n_attn_blocks", "stage_num_blocks")
# Widths are multiplied by factors below one in some kinds.
WIDTH_FACTOR = 64
# LeViT makes a table of all pairs of positions, one in 16 x 16 pixels, in Python.
LEVIT_STRIDE = 16
OWN_CODE = "name the code that you trust with --model path/to/file.py:factory"
CODE: Mapping[str, object] = dict.fromkeys((
    "auto_map", "custom_pipelines", "quantization_config", "compression_config", "sparsity_config", "use_kernels",
    "kernel_config", "fusion_config", "per_layer_config", "distributed_config", "tp_plan", "transformers_weights",
    "backbone", "backbone_config", "backbone_kwargs", "use_pretrained_backbone", "use_timm_backbone",
))  # fmt: skip
# The same function, computed in one way or another.
ATTENTION = word("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
DTYPE = word(
    *(f"{torch}{name}" for torch in ("", "torch.") for name in ("float64", "float32", "float16", "bfloat16"))
)
HARMLESS: Mapping[str, Argument] = {
    "attn_implementation": ATTENTION, "_attn_implementation": ATTENTION, "_attn_implementation_internal": ATTENTION,
    "_attn_implementation_autoset": flag, "dtype": DTYPE, "torch_dtype": DTYPE,
}  # fmt: skip
PROBLEM: Mapping[str, object] = {"problem_type": None}
SINGLE_LABEL: Mapping[str, object] = {"single_label_classification": None}
ACTIVATION = word(
    "gelu", "gelu_10", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "gelu_accurate", "hardswish",
    "laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu", "swish",
    "tanh",
)  # fmt: skip


@dataclass(frozen=True)
class Bounds:
    """What the numbers of a configuration may be, as the tensors that belong to it show."""

    layers: int = MOST_LAYERS
    width: int = MOST_WIDTH
    longest: int = MOST_CLASSES

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]]) -> "Bounds":
        """No more layers than tensors, no wider than the longest side of one."""
        longest = max((max(shape, default=1) for shape in shapes.values()), default=1)
        return cls(
            min(MOST_LAYERS, len(shapes)), min(MOST_WIDTH, WIDTH_FACTOR * longest), min(MOST_CLASSES, longest)
        )


@dataclass(frozen=True)
class Configuration:
    """A config.json, read.

    values: fields of the configuration class of its kind, all checked. classes: how many.
    teacher: the model is distilled and has two heads. derived: what is stated and has to follow from the values.
    refused: what a file may not state, by name, a sentence each. unused: names of what is stated and not used.
    """

    kind: str
    values: Mapping[str, object]
    classes: int
    teacher: bool
    derived: Mapping[str, Stated]
    refused: Mapping[str, str]
    unused: tuple[str, ...]

    @property
    def head(self) -> tuple[str, ...]:
        """Names of the layers of the head, as they are in files."""
        heads = TEACHER_HEADS if self.teacher else HEADS
        return heads.get(self.kind, ("classifier",))


def configuration(said: Stated, bounds: Bounds) -> Configuration | None:
    """What a config.json states, or None where it names no kind of model that is known here."""
    named = said.item("model_type")
    if named is None or not named.is_among(FIELDS):
        return None
    kind = named.among({known: known for known in FIELDS}, OWN_CODE)
    kinds, values, derived, unused = _kinds(kind, bounds), {}, {}, []
    refused: dict[str, str] = {}
    for name, entry in said.entries():
        try:
            if name.is_among(kinds):
                values[name.among({known: known for known in kinds}, OWN_CODE)] = name.among(kinds, OWN_CODE)(
                    entry
                )
            elif name.is_among(DERIVED):
                derived[name.among(DERIVED, OWN_CODE)] = entry
            elif not entry.is_nothing and not _is_harmless(name, entry):
                unused.append(name.label)
        except InputError as reason:
            refused[name.label] = str(reason)
    classes, teacher = 0, False
    try:
        _require_depth(values, said, bounds)
        classes, teacher = _classes(said, bounds), _has_teacher(said, kind)
    except InputError as reason:
        refused["classes"] = str(reason)
    return Configuration(kind, values, classes, teacher, derived, refused, tuple(unused))


def _require_depth(values: Mapping[str, object], said: Stated, bounds: Bounds) -> None:
    for name, value in values.items():
        if name in DEPTHS and isinstance(value, list) and sum(value) > bounds.layers:
            raise InputError(f"{said.where}: {name} makes {sum(value):,} layers, more than there are tensors")


def _is_harmless(name: Stated, entry: Stated) -> bool:
    """Whether something stated changes nothing; InputError where it names code or remote parts."""
    if name.is_among(CODE):
        raise InputError(
            f"{entry.where} is {entry}: code, quantisation or a network that is elsewhere, none of which is taken "
            f"from a file; {OWN_CODE}"
        )
    if name.is_among(HARMLESS):
        name.among(HARMLESS, OWN_CODE)(entry)
        return True
    if name.is_among(PROBLEM):
        return entry.is_among(SINGLE_LABEL)
    return name.is_among(IDLE)


def refused_code(said: Stated) -> dict[str, str]:
    """What a config.json states of code, remote parts or quantisation, a sentence each."""
    refused = {}
    for name, entry in said.entries():
        try:
            if not entry.is_nothing:
                _is_harmless(name, entry)
        except InputError as reason:
            refused[name.label] = str(reason)
    return refused


def _kinds(kind: str, bounds: Bounds) -> dict[str, Argument]:
    """What each field may be."""
    positions = LEVIT_STRIDE * (isqrt(bounds.longest) + 1) if kind == "levit" else MOST_SIDE
    side, small = whole(min(MOST_SIDE, positions), 1), whole(MOST_SMALL)
    few, ratio = whole(MOST_INNER), either(whole(MOST_RATIO), real(float(MOST_RATIO)))
    width, layers = whole(bounds.width, 1), whole(bounds.layers)
    groups: tuple[tuple[str, Argument], ...] = (
        ("image_size", either(several(side, 2), side)),
        (
            "hidden_size intermediate_size hidden_sizes embedding_size embed_dim embed_dims hidden_dim in_channels "
            "out_channels stem_channels stage_in_channels stage_mid_channels stage_out_channels key_dim "
            "neck_hidden_sizes base_attn_unit_dims num_groups groups_width num_channels",
            either(several(width), width),
        ),
        (
            "num_hidden_layers depths depth num_block_repeats n_attn_blocks stage_num_blocks num_encoder_blocks "
            "num_stages num_query_pool",
            either(several(layers), layers),
        ),
        ("stage_numb_of_layers focal_levels num_register_tokens", either(several(few), few)),
        ("depth_coefficient", real(MOST_DEPTH_FACTOR)),
        (
            "mlp_ratio mlp_ratios width_coefficient squeeze_expansion_ratio depth_multiplier expand_ratio "
            "expand_ratios attention_ratio width_multiplier ffn_multiplier embed_dim_multiplier "
            "layer_scale_init_value layerscale_value",
            either(several(ratio), ratio),
        ),
        ("attention_drop_rate drop_rate drop_path_rate", several(either(whole(1), real(1.0)))),
        ("layer_norm_eps batch_norm_eps", real(1.0)),
        (
            "qkv_bias cls_token downsamples stage_downsample stage_light_block masked_unit_attention "
            + " ".join(field for field in FIELDS[kind] if field.startswith(("use_", "downsample_in_"))),
            either(several(flag), flag),
        ),
        (
            "apply_layernorm tf_padding first_layer_is_expansion finegrained_output embedding_dynamic_padding "
            "normalize_modulator linear_attention",
            flag,
        ),
        ("hidden_act", ACTIVATION),
        ("layer_type", word("basic", "bottleneck", "preactivation", "x", "y")),
        ("global_padding", either(nothing, word("SAME", "VALID"))),
        ("qkv_projection_method", several(word("dw_bn", "avg", "linear"))),
        ("pooling_type", word("mean", "max")),
    )
    sizes = either(several(several(small)), several(small), small)
    return dict.fromkeys(FIELDS[kind], sizes) | {
        name: argument for names, argument in groups for name in names.split() if name in FIELDS[kind]
    }


def _classes(said: Stated, bounds: Bounds) -> int:
    """How many classes: as many as have names, else as the number that is stated, else two, as transformers has it."""
    names, number = said.item("id2label"), said.item("num_labels")
    if names is not None:
        count = sum(1 for _ in names.entries())
        if not 1 <= count <= bounds.longest:
            raise InputError(
                f"{names.where} has {count:,} entries, expected one for each output of the network"
            )
        return count
    return 2 if number is None else number.whole(1, bounds.longest)


def _has_teacher(said: Stated, kind: str) -> bool:
    stated = said.item("architectures")
    if kind not in TEACHER_HEADS or stated is None or not stated.is_list:
        return False
    return any(name.is_text and name.label.endswith("WithTeacher") for name in stated.parts(16))


def unknown_kind(said: Stated) -> str:
    """Why a config.json names no network that can be built here."""
    own = "brings its own code (auto_map), which is not run" if said.item("auto_map") else "is not known here"
    return (
        f"expected a model_type of transformers' image classifiers in {said.file}, got {said.item('model_type')}, "
        f"which {own}; name its class as --model path/to/file.py:factory"
    )
