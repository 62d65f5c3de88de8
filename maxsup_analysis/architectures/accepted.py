"""Which arguments of an architecture's constructor a file may state: by name, type and bound.

What is not in these tables takes code, files, addresses or objects, or is unknown; only the user may give it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from maxsup_analysis.architectures.known import index
from maxsup_analysis.errors import InputError
from maxsup_analysis.stated import Stated

Argument = Callable[[Stated], object]
# No published classifier has as many classes, channels, layers, or sees images as large.
MOST_CLASSES, MOST_CHANNELS, MOST_WIDTH, MOST_LAYERS, MOST_SIDE = 1 << 20, 1 << 10, 1 << 16, 256, 1 << 11
MOST_STAGES, MOST_WINDOW = 16, 64
TYPE_IT = "give it with --model-args where you trust it"
POOLINGS = ("", "avg", "max", "avgmax", "catavgmax", "fast", "fastavg", "token", "map")
ACTIVATIONS = (
    "relu",
    "relu6",
    "gelu",
    "gelu_tanh",
    "quick_gelu",
    "silu",
    "swish",
    "leaky_relu",
    "elu",
    "hard_swish",
    "mish",
)


@dataclass(frozen=True)
class Accepted:
    """Arguments that are taken as a file states them, and of each of the others a sentence that says why not."""

    arguments: dict[str, object]
    refused: dict[str, str]


def accepted(architecture: str, stated: Stated | None) -> Accepted:
    """The arguments that a file states for an architecture, as far as a file may state them."""
    table, found, refused = arguments_of(architecture), {}, {}
    names = {name: name for name in table}
    for name, value in stated.entries() if stated is not None else ():
        try:
            if not name.is_among(table):
                raise value.refused(
                    f"which a file may not choose; leave it out with --model {architecture}, or {TYPE_IT}"
                )
            found[name.among(names, TYPE_IT)] = name.among(table, TYPE_IT)(value)
        except InputError as reason:
            refused[name.label] = str(reason)
    return Accepted(found, refused)


class _Known(Mapping[str, str]):
    """Architectures that a file may name; a tag of pretrained weights, `timm/resnet50.a1_in1k`, says nothing more."""

    def __getitem__(self, name: str) -> str:
        return next(known for known in (*OWN, *index().architectures) if known == name.partition(".")[0])

    def __contains__(self, name: object) -> bool:
        plain = str(name).partition(".")[0]
        return plain in OWN or plain in index().architectures

    def __iter__(self) -> Iterator[str]:
        return iter((*OWN, *index().architectures))

    def __len__(self) -> int:
        return len(OWN) + len(index().architectures)


ACCEPTED: Mapping[str, str] = _Known()


def arguments_of(architecture: str) -> Mapping[str, Argument]:
    """What a file may state for an architecture, by name; nothing for one that is not known here."""
    library, slash, _ = architecture.partition("/")
    return LIBRARIES.get(library, {}) if slash else OWN.get(architecture, {})


def whole(most: int, least: int = 0) -> Argument:
    """A whole number."""
    return lambda said: said.whole(least, most)


def real(most: float, least: float = 0.0) -> Argument:
    """A number."""
    return lambda said: said.real(least, most)


def word(*words: str) -> Argument:
    """One of some words."""
    return lambda said: said.word(words, TYPE_IT)


def flag(said: Stated) -> bool:
    """True or false."""
    return said.flag()


def several(part: Argument, most: int = MOST_STAGES) -> Argument:
    """A list."""
    return lambda said: [part(one) for one in said.parts(most)]


def stages(said: Stated) -> list[int]:
    """Layers by stage."""
    found = [part.whole(0, MOST_LAYERS) for part in said.parts(MOST_STAGES)]
    if sum(found) > MOST_LAYERS:
        raise said.refused(f"expected up to {MOST_LAYERS} layers in all")
    return found


def either(*kinds: Argument) -> Argument:
    """The first kind that takes it."""

    def taken(said: Stated) -> object:
        for kind in kinds[:-1]:
            try:
                return kind(said)
            except InputError:
                continue
        return kinds[-1](said)

    return taken


def nothing(said: Stated) -> None:
    """Null."""
    if not said.is_nothing:
        raise said.refused(f"expected null; {TYPE_IT}")


RATE, WIDTH, LAYERS = real(1.0), whole(MOST_WIDTH, 1), whole(MOST_LAYERS)
SIDE = either(several(whole(MOST_SIDE, 1), 2), whole(MOST_SIDE, 1))
CLASSES, CHANNELS = whole(MOST_CLASSES), whole(MOST_CHANNELS, 1)
LIST = either(several(WIDTH), WIDTH)
TIMM: dict[str, Argument] = {
    "num_classes": CLASSES, "in_chans": CHANNELS, "img_size": SIDE, "patch_size": SIDE,
    "window_size": either(several(whole(MOST_WINDOW, 1), 2), whole(MOST_WINDOW, 1)),
    "global_pool": word(*POOLINGS), "act_layer": word(*ACTIVATIONS),
    **{name: RATE for name in (
        "drop_rate", "drop_path_rate", "drop_block_rate", "attn_drop_rate", "proj_drop_rate", "pos_drop_rate",
        "patch_drop_rate", "head_drop_rate",
    )},
    "depth": LAYERS, "depths": stages, "layers": stages,
    **{name: LIST for name in (
        "embed_dim", "num_heads", "channels", "dims", "stem_width", "base_width", "cardinality", "head_hidden_size",
    )},
    "mlp_ratio": either(several(real(64.0)), real(64.0)), "init_values": either(nothing, real(10.0)),
    "ls_init_value": either(nothing, real(10.0)), "head_init_scale": real(10.0),
    "bn_eps": real(1.0), "bn_momentum": RATE,
    "output_stride": whole(32, 1), "reg_tokens": whole(64), "width_multiplier": real(16.0),
    **{name: flag for name in (
        "qkv_bias", "qk_norm", "class_token", "no_embed_class", "pre_norm", "final_norm", "avg_down", "conv_mlp",
        "head_norm_first", "dynamic_img_size", "dynamic_img_pad", "scale_mlp_norm", "use_abs_pos_emb",
    )},
    "fc_norm": either(nothing, flag),
}  # fmt: skip
TORCHVISION: dict[str, Argument] = {
    "num_classes": CLASSES, "image_size": whole(MOST_SIDE, 1), "dropout": RATE, "attention_dropout": RATE,
    "stochastic_depth_prob": RATE, "drop_rate": RATE, "width_mult": real(16.0, 1 / 16), "width_per_group": WIDTH,
    "groups": WIDTH, "min_value": real(10.0), "layer_scale": real(10.0),
    **{name: flag for name in (
        "aux_logits", "transform_input", "zero_init_residual", "memory_efficient", "reduced_tail",
    )},
}  # fmt: skip
HEAD: dict[str, Argument] = {"head": word("linear", "cosine"), "temperature": real(1e6)}
PLAIN: dict[str, Argument] = {"channels": CHANNELS, "classes": CLASSES, **HEAD}
CIFAR: dict[str, Argument] = {**PLAIN, "width": real(64.0)}
OWN: dict[str, dict[str, Argument]] = {
    "small_cnn": {**PLAIN, "widths": several(WIDTH, 3)},
    "digits_mlp": {**PLAIN, "widths": several(WIDTH), "side": whole(MOST_SIDE, 1)},
    **{name: CIFAR for name in ("cifar_resnet18", "cifar_resnet20", "cifar_resnet32", "cifar_resnet56")},
}
LIBRARIES = {"timm": TIMM, "torchvision": TORCHVISION}
