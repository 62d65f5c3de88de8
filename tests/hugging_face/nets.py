"""Tiny image classifiers of transformers, one of each kind, with weights that are drawn at random."""

from collections.abc import Mapping
from typing import Any

SIDE, CLASSES = 32, 5
VIT: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "patch_size": 8,
    "image_size": SIDE,
}  # fmt: skip
DINO: dict[str, Any] = {name: VIT[name] for name in VIT if name != "intermediate_size"} | {"mlp_ratio": 2}
SWIN: dict[str, Any] = {
    "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "patch_size": 4, "image_size": SIDE,
}  # fmt: skip
STAGES: dict[str, Any] = {"hidden_sizes": [8, 12], "depths": [1, 1]}
FOUR: dict[str, Any] = {"hidden_sizes": [4, 6, 8, 10], "depths": [1, 1, 1, 1]}
# Arguments of the configuration of each kind that make it tiny.
TINY: Mapping[str, dict[str, Any]] = {
    "beit": VIT,
    "bit": {"hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8, "num_groups": 2},
    "convnext": {**STAGES, "num_stages": 2, "patch_size": 4},
    "convnextv2": {**STAGES, "num_stages": 2, "patch_size": 4},
    "cvt": {"embed_dim": [8, 12, 16], "num_heads": [1, 1, 2], "depth": [1, 2, 3]},
    "data2vec-vision": VIT,
    "deit": VIT,
    "dinov2": DINO,
    "dinov2_with_registers": DINO,
    "efficientnet": {
        "image_size": SIDE, "width_coefficient": 0.25, "depth_coefficient": 0.5, "hidden_dim": 320,
        "kernel_sizes": [3, 3], "in_channels": [32, 16], "out_channels": [16, 24], "strides": [1, 2],
        "num_block_repeats": [1, 1], "expand_ratios": [1, 2],
    },
    "focalnet": {
        "embed_dim": 8, "depths": [1, 1], "hidden_sizes": [8, 16], "focal_levels": [1, 1], "focal_windows": [3, 3],
        "patch_size": 4, "image_size": SIDE,
    },
    "hgnet_v2": {
        "embedding_size": 8, "depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 12, 16], "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 8, 8, 12], "stage_mid_channels": [4, 4, 4, 4], "stage_out_channels": [8, 8, 12, 16],
        "stage_num_blocks": [1, 1, 1, 1], "stage_numb_of_layers": [1, 1, 1, 1],
    },
    "hiera": {
        "embed_dim": 8, "image_size": [SIDE, SIDE], "patch_stride": [4, 4], "patch_size": [7, 7], "depths": [1, 1],
        "num_heads": [1, 2], "num_query_pool": 1, "query_stride": [2, 2], "masked_unit_size": [4, 4],
        "masked_unit_attention": [True, False], "mlp_ratio": 2.0,
    },
    "ijepa": VIT,
    "levit": {
        "image_size": 64, "hidden_sizes": [16, 16, 16], "num_attention_heads": [1, 2, 2], "depths": [1, 1, 1],
        "key_dim": [8, 8, 8], "mlp_ratio": [2, 2, 2], "attention_ratio": [2, 2, 2],
    },
    "mobilenet_v1": {"depth_multiplier": 0.25},
    "mobilenet_v2": {"depth_multiplier": 0.25},
    "mobilevit": {
        "image_size": SIDE, "hidden_sizes": [8, 12, 16], "neck_hidden_sizes": [4, 4, 8, 8, 8, 8, 16],
        "num_attention_heads": 2, "expand_ratio": 2.0,
    },
    "mobilevitv2": {"image_size": 64, "width_multiplier": 0.25, "n_attn_blocks": [1, 1, 1]},
    "poolformer": FOUR,
    "pvt": {**FOUR, "num_attention_heads": [1, 1, 1, 1], "mlp_ratios": [2, 2, 2, 2], "image_size": SIDE},
    "pvt_v2": {**FOUR, "num_attention_heads": [1, 1, 1, 1], "mlp_ratios": [2, 2, 2, 2], "image_size": SIDE},
    "regnet": {**STAGES, "embedding_size": 8, "groups_width": 4},
    "resnet": {**STAGES, "embedding_size": 8, "layer_type": "basic"},
    "segformer": {**FOUR, "num_attention_heads": [1, 1, 1, 1], "mlp_ratios": [2, 2, 2, 2]},
    "swiftformer": {"embed_dims": [8, 8, 12, 16], "depths": [1, 1, 1, 1], "image_size": SIDE, "mlp_ratio": 2},
    "swin": SWIN,
    "swinv2": SWIN,
    "vit": VIT,
    "vit_msn": VIT,
}  # fmt: skip
# Sides of images that the tiny ones take.
SIDES = {kind: 64 if kind in ("levit", "swiftformer", "mobilevitv2") else SIDE for kind in TINY}
