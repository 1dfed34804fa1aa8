"""The layers that torch recorded in layers.npz: name -> (class, options, input names, call options).

A tuple among the input names stands for a tuple of tensors; masks are named where a call option wants one.
"""

from __future__ import annotations

from typing import Any

# shapes of float inputs
SHAPES: dict[str, tuple[int, ...]] = {
    "x": (5, 3, 4),
    "x1": (3, 4),
    "h1": (1, 3, 6),
    "h4": (4, 3, 6),
    "c4": (4, 3, 6),
    "p4": (4, 3, 2),
    "s": (3, 6),
    "c": (3, 6),
    "q": (5, 3, 8),
    "k": (6, 3, 5),
    "v": (6, 3, 7),
    "m": (6, 3, 8),
    "u": (5, 8),
    "image": (2, 4, 6, 6),
    "line": (2, 4, 9),
    "cube": (2, 4, 3, 4, 5),
    "rows": (6, 4),
    "rows3": (6, 3),
}

# float masks and key paddings, by (shape, which entries are masked)
MASKS = ("causal5", "padding5", "padding6", "mask56")

Case = tuple[str, dict[str, Any], tuple[str, ...], dict[str, Any]]

RECURRENT: dict[str, Case] = {
    "rnn": ("RNN", {"input_size": 4, "hidden_size": 6}, ("x",), {}),
    "rnn_relu_state": ("RNN", {"input_size": 4, "hidden_size": 6, "nonlinearity": "relu"}, ("x", "h1"), {}),
    "rnn_deep": (
        "RNN",
        {"input_size": 4, "hidden_size": 6, "num_layers": 2, "bidirectional": True},
        ("x", "h4"),
        {},
    ),
    "lstm": ("LSTM", {"input_size": 4, "hidden_size": 6, "batch_first": True}, ("x",), {}),
    "lstm_deep": (
        "LSTM",
        {"input_size": 4, "hidden_size": 6, "num_layers": 2, "bidirectional": True},
        ("x", ("h4", "c4")),
        {},
    ),
    "lstm_projection": (
        "LSTM",
        {
            "input_size": 4,
            "hidden_size": 6,
            "num_layers": 2,
            "bidirectional": True,
            "proj_size": 2,
            "bias": False,
        },
        ("x", ("p4", "c4")),
        {},
    ),
    "gru": ("GRU", {"input_size": 4, "hidden_size": 6}, ("x",), {}),
    "gru_deep": (
        "GRU",
        {"input_size": 4, "hidden_size": 6, "num_layers": 2, "bidirectional": True, "batch_first": False},
        ("x", "h4"),
        {},
    ),
    "gru_unbatched": ("GRU", {"input_size": 4, "hidden_size": 6}, ("x1",), {}),
    "rnn_cell": ("RNNCell", {"input_size": 4, "hidden_size": 6}, ("x1", "s"), {}),
    "lstm_cell": ("LSTMCell", {"input_size": 4, "hidden_size": 6}, ("x1", ("s", "c")), {}),
    "gru_cell": ("GRUCell", {"input_size": 4, "hidden_size": 6}, ("x1", "s"), {}),
}

_LAYER = {"d_model": 8, "nhead": 2, "dim_feedforward": 16, "dropout": 0.0}

ATTENTION: dict[str, Case] = {
    "attention": ("MultiheadAttention", {"embed_dim": 8, "num_heads": 2}, ("q", "q", "q"), {}),
    "attention_cross": (
        "MultiheadAttention",
        {"embed_dim": 8, "num_heads": 4, "kdim": 5, "vdim": 7},
        ("q", "k", "v"),
        {"key_padding_mask": "padding6", "average_attn_weights": False},
    ),
    "attention_causal": (
        "MultiheadAttention",
        {"embed_dim": 8, "num_heads": 2, "bias": False},
        ("q", "q", "q"),
        {"attn_mask": "causal5", "is_causal": True, "need_weights": False},
    ),
    "attention_extras": (
        "MultiheadAttention",
        {"embed_dim": 8, "num_heads": 2, "add_bias_kv": True, "add_zero_attn": True},
        ("q", "m", "m"),
        {"attn_mask": "mask56", "key_padding_mask": "padding6"},
    ),
    "attention_unbatched": ("MultiheadAttention", {"embed_dim": 8, "num_heads": 2}, ("u", "u", "u"), {}),
    "encoder_layer": ("TransformerEncoderLayer", _LAYER, ("q",), {"src_key_padding_mask": "padding5"}),
    "encoder_layer_first": (
        "TransformerEncoderLayer",
        {**_LAYER, "norm_first": True, "activation": "gelu", "bias": False},
        ("q",),
        {"src_mask": "causal5"},
    ),
    "decoder_layer": (
        "TransformerDecoderLayer",
        _LAYER,
        ("q", "m"),
        {"tgt_mask": "causal5", "memory_key_padding_mask": "padding6"},
    ),
    "transformer": (
        "Transformer",
        {**_LAYER, "num_encoder_layers": 2, "num_decoder_layers": 1},
        ("m", "q"),
        {"tgt_mask": "causal5", "src_key_padding_mask": "padding6"},
    ),
}

SIMPLE: dict[str, Case] = {
    "linear": ("Linear", {"in_features": 4, "out_features": 3}, ("rows",), {}),
    "bilinear": (
        "Bilinear",
        {"in1_features": 4, "in2_features": 3, "out_features": 2},
        ("rows", "rows3"),
        {},
    ),
    "layer_norm": ("LayerNorm", {"normalized_shape": (4,)}, ("x",), {}),
    "rms_norm": ("RMSNorm", {"normalized_shape": 4}, ("x",), {}),
    "group_norm": ("GroupNorm", {"num_groups": 2, "num_channels": 4}, ("image",), {}),
    "batch_norm1d": ("BatchNorm1d", {"num_features": 4}, ("rows",), {}),
    "batch_norm2d": ("BatchNorm2d", {"num_features": 4, "momentum": None}, ("image",), {}),
    "batch_norm3d": ("BatchNorm3d", {"num_features": 4, "affine": False}, ("cube",), {}),
    "instance_norm2d": ("InstanceNorm2d", {"num_features": 4, "affine": True}, ("image",), {}),
    "local_response_norm": ("LocalResponseNorm", {"size": 3}, ("image",), {}),
    "conv1d": (
        "Conv1d",
        {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1, "groups": 2},
        ("line",),
        {},
    ),
    "conv2d": (
        "Conv2d",
        {"in_channels": 4, "out_channels": 3, "kernel_size": (3, 2), "padding": "same", "dilation": 2},
        ("image",),
        {},
    ),
    "conv2d_reflect": (
        "Conv2d",
        {"in_channels": 4, "out_channels": 3, "kernel_size": 3, "padding": 2, "padding_mode": "reflect"},
        ("image",),
        {},
    ),
    "conv3d": (
        "Conv3d",
        {"in_channels": 4, "out_channels": 2, "kernel_size": 2, "bias": False},
        ("cube",),
        {},
    ),
    "conv_transpose1d": (
        "ConvTranspose1d",
        {"in_channels": 4, "out_channels": 2, "kernel_size": 3, "stride": 2},
        ("line",),
        {},
    ),
    "conv_transpose2d": (
        "ConvTranspose2d",
        {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1, "groups": 2},
        ("image",),
        {"output_size": (12, 11)},
    ),
    "conv_transpose3d": (
        "ConvTranspose3d",
        {
            "in_channels": 4,
            "out_channels": 2,
            "kernel_size": 2,
            "stride": 2,
            "output_padding": 1,
            "dilation": 1,
        },
        ("cube",),
        {},
    ),
    "max_pool2d": ("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1}, ("image",), {}),
    "avg_pool1d": ("AvgPool1d", {"kernel_size": 3, "stride": 2, "padding": 1}, ("line",), {}),
    "avg_pool2d": ("AvgPool2d", {"kernel_size": 3, "padding": 1, "count_include_pad": False}, ("image",), {}),
    "lp_pool2d": ("LPPool2d", {"norm_type": 2, "kernel_size": 2}, ("image",), {}),
    "adaptive_avg_pool2d": ("AdaptiveAvgPool2d", {"output_size": (3, None)}, ("image",), {}),
    "adaptive_max_pool1d": ("AdaptiveMaxPool1d", {"output_size": 4}, ("line",), {}),
    "prelu": ("PReLU", {"num_parameters": 4}, ("image",), {}),
    "pixel_shuffle": ("PixelShuffle", {"upscale_factor": 2}, ("image",), {}),
    "pixel_unshuffle": ("PixelUnshuffle", {"downscale_factor": 3}, ("image",), {}),
    "channel_shuffle": ("ChannelShuffle", {"groups": 2}, ("image",), {}),
    "unfold": ("Unfold", {"kernel_size": (2, 3), "dilation": 2, "padding": 1, "stride": 2}, ("image",), {}),
    "upsample": ("Upsample", {"scale_factor": 2, "mode": "bilinear", "align_corners": True}, ("image",), {}),
    "circular_pad2d": ("CircularPad2d", {"padding": (1, 2, 3, 0)}, ("image",), {}),
    "constant_pad1d": ("ConstantPad1d", {"padding": 2, "value": 0.5}, ("line",), {}),
    "replication_pad3d": ("ReplicationPad3d", {"padding": 1}, ("cube",), {}),
}

ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("ReLU", {}),
    "relu6": ("ReLU6", {}),
    "threshold": ("Threshold", {"threshold": 0.1, "value": -3.0}),
    "hardtanh": ("Hardtanh", {"min_val": -0.5, "max_val": 0.7}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "silu": ("SiLU", {}),
    "mish": ("Mish", {}),
    "hardswish": ("Hardswish", {}),
    "hardsigmoid": ("Hardsigmoid", {}),
    "elu": ("ELU", {"alpha": 0.7}),
    "celu": ("CELU", {"alpha": 0.7}),
    "selu": ("SELU", {}),
    "glu": ("GLU", {}),
    "gelu": ("GELU", {}),
    "gelu_tanh": ("GELU", {"approximate": "tanh"}),
    "hardshrink": ("Hardshrink", {}),
    "softshrink": ("Softshrink", {}),
    "tanhshrink": ("Tanhshrink", {}),
    "leaky_relu": ("LeakyReLU", {}),
    "logsigmoid": ("LogSigmoid", {}),
    "softplus": ("Softplus", {"beta": 2.0, "threshold": 1.0}),
    "softsign": ("Softsign", {}),
    "softmax": ("Softmax", {"dim": 1}),
    "log_softmax": ("LogSoftmax", {"dim": -1}),
    "softmin": ("Softmin", {"dim": 0}),
    "softmax2d": ("Softmax2d", {}),
}

CASES: dict[str, Case] = {
    **RECURRENT,
    **ATTENTION,
    **SIMPLE,
    **{name: (kind, options, ("image",), {}) for name, (kind, options) in ACTIVATIONS.items()},
}
