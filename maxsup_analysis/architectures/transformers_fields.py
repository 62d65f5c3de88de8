"""Which fields of a transformers config.json shape a network, by kind of model; the table is closed.

Fields of other tasks, of training, and of layers that only drop something while training are in `IDLE`.
"""

from collections.abc import Mapping

_IMAGES = "image_size num_channels"
_PATCHES = f"{_IMAGES} patch_size"
_ENCODER = f"{_PATCHES} hidden_size num_hidden_layers num_attention_heads hidden_act layer_norm_eps"
_VIT = f"{_ENCODER} intermediate_size qkv_bias"
_BEIT = (
    f"{_ENCODER} intermediate_size use_mask_token use_absolute_position_embeddings use_relative_position_bias "
    "use_shared_relative_position_bias layer_scale_init_value use_mean_pooling"
)
_DINO = f"{_ENCODER} mlp_ratio qkv_bias layerscale_value use_swiglu_ffn apply_layernorm"
_SWIN = (
    f"{_PATCHES} embed_dim depths num_heads window_size mlp_ratio qkv_bias hidden_act use_absolute_embeddings "
    "layer_norm_eps"
)
_RESNET = "num_channels embedding_size hidden_sizes depths layer_type hidden_act"
_CONVNEXT = f"{_PATCHES} num_stages hidden_sizes depths hidden_act layer_norm_eps"
_PYRAMID = (
    "num_channels num_encoder_blocks depths hidden_sizes patch_sizes strides num_attention_heads mlp_ratios hidden_act "
    "layer_norm_eps"
)
_TEXTS: Mapping[str, str] = {
    "beit": _BEIT,
    "bit": f"{_RESNET} global_padding num_groups embedding_dynamic_padding output_stride width_factor",
    "convnext": f"{_CONVNEXT} layer_scale_init_value",
    "convnextv2": _CONVNEXT,
    "cvt": "num_channels patch_sizes patch_stride patch_padding embed_dim num_heads depth mlp_ratio "
    "attention_drop_rate drop_rate drop_path_rate qkv_bias cls_token qkv_projection_method kernel_qkv padding_kv "
    "stride_kv padding_q stride_q layer_norm_eps",
    "data2vec-vision": _BEIT,
    "deit": _VIT,
    "dinov2": f"{_DINO} use_mask_token",
    "dinov2_with_registers": f"{_DINO} num_register_tokens",
    "efficientnet": f"{_IMAGES} width_coefficient depth_coefficient depth_divisor kernel_sizes in_channels "
    "out_channels depthwise_padding strides num_block_repeats expand_ratios squeeze_expansion_ratio hidden_act "
    "hidden_dim pooling_type batch_norm_eps",
    "focalnet": f"{_PATCHES} embed_dim use_conv_embed hidden_sizes depths focal_levels focal_windows hidden_act "
    "mlp_ratio use_layerscale layerscale_value use_post_layernorm use_post_layernorm_in_modulation "
    "normalize_modulator layer_norm_eps",
    "hgnet_v2": "num_channels embedding_size depths hidden_sizes hidden_act stem_channels stem_strides "
    "stage_in_channels stage_mid_channels stage_out_channels stage_num_blocks stage_downsample "
    "stage_downsample_strides stage_light_block stage_kernel_size stage_numb_of_layers use_learnable_affine_block",
    "hiera": f"{_PATCHES} embed_dim patch_stride patch_padding mlp_ratio depths num_heads embed_dim_multiplier "
    "num_query_pool query_stride masked_unit_size masked_unit_attention hidden_act layer_norm_eps",
    "ijepa": _VIT,
    "levit": f"{_PATCHES} kernel_size stride padding hidden_sizes num_attention_heads depths key_dim mlp_ratio "
    "attention_ratio",
    "mobilenet_v1": f"{_IMAGES} depth_multiplier min_depth hidden_act tf_padding layer_norm_eps",
    "mobilenet_v2": f"{_IMAGES} depth_multiplier depth_divisible_by min_depth expand_ratio output_stride "
    "first_layer_is_expansion finegrained_output hidden_act tf_padding layer_norm_eps",
    "mobilevit": f"{_PATCHES} hidden_sizes neck_hidden_sizes num_attention_heads mlp_ratio expand_ratio hidden_act "
    "conv_kernel_size output_stride layer_norm_eps qkv_bias",
    "mobilevitv2": f"{_PATCHES} expand_ratio hidden_act conv_kernel_size output_stride layer_norm_eps n_attn_blocks "
    "base_attn_unit_dims width_multiplier ffn_multiplier",
    "poolformer": "num_channels patch_size stride pool_size mlp_ratio depths hidden_sizes patch_sizes strides padding "
    "num_encoder_blocks hidden_act use_layer_scale layer_scale_init_value",
    "pvt": f"{_PYRAMID} image_size sequence_reduction_ratios qkv_bias",
    "pvt_v2": f"{_PYRAMID} image_size sr_ratios qkv_bias linear_attention",
    "regnet": f"{_RESNET} groups_width downsample_in_first_stage",
    "resnet": f"{_RESNET} downsample_in_first_stage downsample_in_bottleneck",
    "segformer": f"{_PYRAMID} sr_ratios",
    "swiftformer": f"{_IMAGES} depths embed_dims mlp_ratio downsamples hidden_act down_patch_size down_stride down_pad "
    "use_layer_scale layer_scale_init_value batch_norm_eps",
    "swin": _SWIN,
    "swinv2": f"{_SWIN} pretrained_window_sizes",
    "vit": _VIT,
    "vit_msn": _VIT,
}


def _named(names: str) -> dict[str, str]:
    return {name: name for name in names.split()}


FIELDS: Mapping[str, tuple[str, ...]] = {kind: tuple(names.split()) for kind, names in _TEXTS.items()}
# Layers of the head, by their names in a file; 'classifier' where no others are given.
HEADS: Mapping[str, tuple[str, ...]] = {
    "bit": ("classifier.1",),
    "hgnet_v2": ("fc",),
    "levit": ("classifier.linear",),
    "regnet": ("classifier.1",),
    "resnet": ("classifier.1",),
    "swiftformer": ("head", "dist_head"),
}
TEACHER_HEADS: Mapping[str, tuple[str, ...]] = {
    "deit": ("cls_classifier", "distillation_classifier"),
    "levit": ("classifier.linear", "classifier_distill.linear"),
}
# Follow from the others; what a file states of them has to agree with those.
DERIVED = _named(
    "hidden_size num_layers num_hidden_layers num_attention_heads num_heads num_stages intermediate_size down_ops"
)
# Of layers that drop something while training, which do nothing in evaluation; of other tasks; of what a network
# returns beside logits; of how the folder came to be.
IDLE = _named(
    "hidden_dropout_prob attention_probs_dropout_prob classifier_dropout_prob drop_path_rate dropout_rate "
    "drop_connect_rate drop_mlp_rate drop_conv_encoder_rate attn_dropout ffn_dropout batch_norm_momentum "
    "initializer_range initializer_factor layer_norm_init encoder_stride pooler_output_size pooler_act vocab_size "
    "semantic_loss_ignore_index auxiliary_loss_weight auxiliary_channels auxiliary_num_convs auxiliary_concat_input "
    "use_auxiliary_head pool_scales add_fpn aspp_out_channels aspp_dropout_prob atrous_rates decoder_hidden_size "
    "decoder_depth decoder_num_heads reshape_hidden_states reshape_last_stage normalize_pixel_loss mask_ratio "
    "out_features out_indices stage_names _out_features _out_indices model_type architectures id2label label2id "
    "num_labels transformers_version _name_or_path name_or_path _commit_hash return_dict use_return_dict "
    "output_hidden_states output_attentions use_cache torchscript use_bfloat16 chunk_size_feed_forward "
    "is_encoder_decoder finetuning_task tie_word_embeddings pruned_heads"
)
