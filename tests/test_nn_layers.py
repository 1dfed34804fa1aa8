"""Layers against torch: outputs, gradients, running statistics, state dict keys and text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ascendlite as al
from ascendlite import nn
from tests.goldenfile import arrays, assert_close, part
from tests.goldens.layer_cases import CASES, SHAPES

GOLDEN = arrays("layers.npz")
INPUTS = part(GOLDEN, "input.")
CLOSE = 3e-6  # the file holds float32 roundings of float64 results


def build(name: str) -> nn.Module:
    """The layer in float64 with the parameters of the golden file."""
    kind, options, _, _ = CASES[name]
    layer = getattr(nn, kind)(**options).double()
    state = part(GOLDEN, f"{name}.state.")
    layer.load_state_dict({key: al.tensor(value) for key, value in state.items()})
    return layer


def leaves(result: Any) -> list[al.Tensor]:
    if isinstance(result, al.Tensor):
        return [result]
    return [leaf for piece in result if piece is not None for leaf in leaves(piece)]


def run(name: str, layer: nn.Module) -> tuple[list[al.Tensor], dict[str, al.Tensor]]:
    _, _, inputs, call = CASES[name]
    given: dict[str, al.Tensor] = {}

    def value(key: Any) -> Any:
        if isinstance(key, tuple):
            return tuple(value(k) for k in key)
        if key not in given:
            made = al.tensor(INPUTS[key])
            given[key] = made if made.dtype == al.bool else made.double()
            if key in SHAPES:
                given[key].requires_grad_()
        return given[key]

    kwargs = {k: value(v) if isinstance(v, str) else v for k, v in call.items()}
    return leaves(layer(*[value(key) for key in inputs], **kwargs)), given


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_are_torchs(name: str) -> None:
    layer = build(name)
    results, given = run(name, layer)
    expected = part(GOLDEN, f"{name}.out.")
    assert len(expected) == len(results)
    for i, result in enumerate(results):
        assert_close(expected[str(i)], result, CLOSE, f"output {i}")
    weights = [al.tensor(np.cos(np.arange(r.numel())).reshape(tuple(r.shape))) for r in results]
    sum((r * w).sum() for r, w in zip(results, weights, strict=True)).backward()
    for key, grad in part(GOLDEN, f"{name}.grad.").items():
        assert_close(grad, given[key].grad, 10 * CLOSE, f"gradient of {key}")
    params = dict(layer.named_parameters())
    for key, grad in part(GOLDEN, f"{name}.grad_of.").items():
        assert_close(grad, params[key].grad, 10 * CLOSE, f"gradient of {key}")
    buffers = dict(layer.named_buffers())
    for key, after in part(GOLDEN, f"{name}.after.").items():
        assert_close(after, buffers[key], CLOSE, f"buffer {key}")


@pytest.mark.parametrize("name", CASES)
def test_state_dict_keys_come_in_torchs_order(name: str) -> None:
    assert list(part(GOLDEN, f"{name}.state.")) == list(build(name).state_dict())


# expression -> text, as torch prints it
REPRS = {
    "Linear(2, 3)": "Linear(in_features=2, out_features=3, bias=True)",
    "Bilinear(2, 3, 4)": "Bilinear(in1_features=2, in2_features=3, out_features=4, bias=True)",
    "Embedding(10, 3, padding_idx=0)": "Embedding(10, 3, padding_idx=0)",
    "ReLU()": "ReLU()",
    "ReLU(inplace=True)": "ReLU(inplace=True)",
    "LeakyReLU(0.2)": "LeakyReLU(negative_slope=0.2)",
    "GELU()": "GELU(approximate='none')",
    "Softmax(dim=1)": "Softmax(dim=1)",
    "Hardtanh()": "Hardtanh(min_val=-1.0, max_val=1.0)",
    "Softplus()": "Softplus(beta=1.0, threshold=20.0)",
    "Threshold(0.5, 2)": "Threshold(threshold=0.5, value=2)",
    "PReLU()": "PReLU(num_parameters=1)",
    "Dropout(0.1)": "Dropout(p=0.1, inplace=False)",
    "LayerNorm(5)": "LayerNorm((5,), eps=1e-05, elementwise_affine=True, bias=True)",
    "RMSNorm(5)": "RMSNorm((5,), eps=None, elementwise_affine=True)",
    "GroupNorm(4, 4, bias=False)": "GroupNorm(4, 4, eps=1e-05, affine=True, bias=False)",
    "GroupNorm(2, 4)": "GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)",
    "BatchNorm2d(3)": "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
    "Conv2d(3, 4, 3)": "Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1))",
    "Conv2d(3, 6, (3, 1), 2, padding=1, groups=3, bias=False)": (
        "Conv2d(3, 6, kernel_size=(3, 1), stride=(2, 2), padding=(1, 1), groups=3, bias=False)"
    ),
    "Conv1d(3, 4, 3, padding='same', padding_mode='circular')": (
        "Conv1d(3, 4, kernel_size=(3,), stride=(1,), padding=same, padding_mode=circular)"
    ),
    "ConvTranspose2d(3, 4, 3, 2, output_padding=1)": (
        "ConvTranspose2d(3, 4, kernel_size=(3, 3), stride=(2, 2), output_padding=(1, 1))"
    ),
    "MaxPool2d(2)": "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)",
    "AvgPool1d(2)": "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))",
    "AdaptiveAvgPool2d(1)": "AdaptiveAvgPool2d(output_size=1)",
    "ZeroPad2d(1)": "ZeroPad2d((1, 1, 1, 1))",
    "Upsample(scale_factor=2)": "Upsample(scale_factor=2.0, mode='nearest')",
    "Flatten()": "Flatten(start_dim=1, end_dim=-1)",
    "Unflatten(1, (2, 3))": "Unflatten(dim=1, unflattened_size=(2, 3))",
    "PixelShuffle(2)": "PixelShuffle(upscale_factor=2)",
    "LSTM(3, 4, num_layers=2, bidirectional=True)": "LSTM(3, 4, num_layers=2, bidirectional=True)",
    "GRUCell(3, 4)": "GRUCell(3, 4)",
    "CrossEntropyLoss()": "CrossEntropyLoss()",
    "Identity(54, unused=1)": "Identity()",
}


@pytest.mark.parametrize("expression", REPRS)
def test_the_text_is_torchs(expression: str) -> None:
    assert REPRS[expression] == repr(eval(f"nn.{expression}", {"nn": nn}))


def x(*shape: int) -> al.Tensor:
    return al.zeros(shape)


MISTAKES = [
    (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels 3 must be divisible by groups 2"),
    (lambda: nn.Conv2d(3, 4, 3, padding="full"), ValueError, "invalid padding string 'full'"),
    (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), ValueError, "not supported for strided"),
    (lambda: nn.Conv2d(3, 4, 3, padding_mode="odd"), ValueError, "padding_mode must be one of"),
    (lambda: nn.Dropout(1.5), ValueError, r"between 0 and 1, but got 1\.5"),
    (lambda: nn.CircularPad1d(3)(al.ones(2)), ValueError, "expected 2D or 3D input"),
    (lambda: nn.GroupNorm(3, 4), ValueError, "num_channels 4 must be divisible by num_groups 3"),
    (lambda: nn.BatchNorm2d(3)(x(2, 3)), ValueError, r"expected 4D input \(got 2D input"),
    (lambda: nn.MultiheadAttention(5, 2), AssertionError, "embed_dim 5 must be divisible by num_heads 2"),
    (
        lambda: nn.MultiheadAttention(4, 2)(x(2, 3, 5), x(2, 3, 5), x(2, 3, 5)),
        RuntimeError,
        "dimension of 4, but got 5",
    ),
    (lambda: nn.RNN(3, 4)(x(2, 1, 5)), RuntimeError, "Expected 3, got 5"),
    (
        lambda: nn.RNN(3, 4)(x(2, 1, 3), x(1, 2, 4)),
        RuntimeError,
        r"expected hidden size \(1, 1, 4\), got \(1, 2, 4\)",
    ),
    (lambda: nn.RNN(3, 4, nonlinearity="sin"), ValueError, "unknown nonlinearity 'sin'"),
    (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size has to be between 0 and hidden_size 4"),
    (lambda: nn.LSTMCell(3, 4)(x(2, 5)), RuntimeError, "got 5, expected 3"),
    (
        lambda: nn.Embedding(3, 4, padding_idx=3),
        AssertionError,
        "padding_idx 3 must be within num_embeddings 3",
    ),
    (lambda: nn.Embedding.from_pretrained(x(3)), ValueError, "embeddings have 1 dimensions"),
    (
        lambda: nn.TransformerEncoderLayer(4, 2, activation="sin"),
        RuntimeError,
        "should be relu/gelu, not sin",
    ),
    (lambda: nn.PixelShuffle(2)(x(1, 3, 2, 2)), RuntimeError, r"\(1, 3, 2, 2\).*upscale_factor\^2 = 4"),
    (
        lambda: nn.ConvTranspose1d(1, 1, 3, 2)(x(1, 1, 3), [9]),
        ValueError,
        r"valid sizes range from \[7\] to \[8\]",
    ),
]


@pytest.mark.parametrize(("mistake", "error", "text"), MISTAKES)
def test_mistakes_are_named(mistake, error, text) -> None:
    with pytest.raises(error, match=text):
        mistake()


def test_embedding_looks_up_rows_and_leaves_padding_without_gradient() -> None:
    layer = nn.Embedding(5, 3, padding_idx=-1)
    assert 4 == layer.padding_idx
    assert [0.0] * 3 == layer.weight[4].tolist()
    index = al.tensor([[1, 4], [1, 0]])
    out = layer(index)
    out.sum().backward()
    np.testing.assert_array_equal(layer.weight.detach().numpy()[index.numpy()], out.detach().numpy())
    assert [[1.0] * 3, [2.0] * 3, [0.0] * 3, [0.0] * 3, [0.0] * 3] == layer.weight.grad.tolist()


def test_fold_sums_what_unfold_spread() -> None:
    image = al.tensor(INPUTS["image"])
    ones = nn.Fold(6, 3, padding=1)(nn.Unfold(3, padding=1)(al.ones(tuple(image.shape))))
    again = nn.Fold(6, 3, padding=1)(nn.Unfold(3, padding=1)(image))
    assert_close((image * ones).numpy(), again, 1e-5)


def test_evaluation_uses_running_statistics_and_does_not_change_them() -> None:
    layer = nn.BatchNorm1d(4).eval()
    rows = al.tensor(INPUTS["rows"])
    assert_close(rows.numpy() / np.sqrt(1 + 1e-5), layer(rows), 1e-6)
    assert 0 == layer.num_batches_tracked.item()


@pytest.mark.parametrize("kind", ["Dropout", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout"])
def test_dropout_does_nothing_in_evaluation_and_something_in_training(kind: str) -> None:
    layer = getattr(nn, kind)(0.5)
    image = al.ones(8, 16, 4, 4)
    assert not bool((layer(image) == image).all())
    assert bool((layer.eval()(image) == image).all())


def test_dropout2d_drops_whole_channels() -> None:
    out = nn.Dropout2d(0.5)(al.ones(8, 16, 4, 4)).numpy().reshape(128, 16)
    assert {0.0, 2.0} == set(out[:, 0].tolist())
    assert bool((out == out[:, :1]).all())


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    al.manual_seed(0)
    values = nn.AlphaDropout(0.3)(al.randn(200, 500)).numpy()
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02


def test_the_causal_mask_is_minus_infinity_above_the_diagonal() -> None:
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    assert [[0.0, -np.inf, -np.inf], [0.0, 0.0, -np.inf], [0.0, 0.0, 0.0]] == mask.tolist()


# loss -> (class, options, input makers); each is compared with torch in both directions of the gradient
LOSSES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "mse": ("MSELoss", {}, ("rows", "rows2")),
    "l1_sum": ("L1Loss", {"reduction": "sum"}, ("rows", "rows2")),
    "smooth_l1": ("SmoothL1Loss", {"beta": 0.5}, ("rows", "rows2")),
    "huber": ("HuberLoss", {"delta": 0.7}, ("rows", "rows2")),
    "cross_entropy": ("CrossEntropyLoss", {"label_smoothing": 0.1, "ignore_index": 2}, ("rows", "classes")),
    "nll_none": ("NLLLoss", {"reduction": "none"}, ("rows", "classes")),
    "bce": ("BCELoss", {}, ("chances", "bits")),
    "bce_logits": ("BCEWithLogitsLoss", {}, ("rows", "bits")),
    "kl": ("KLDivLoss", {"reduction": "batchmean"}, ("rows", "chances")),
    "poisson": ("PoissonNLLLoss", {"full": True}, ("rows", "counts")),
    "poisson_plain": ("PoissonNLLLoss", {"log_input": False}, ("chances", "counts")),
    "gaussian": ("GaussianNLLLoss", {"full": True}, ("rows", "rows2", "chances")),
    "soft_margin": ("SoftMarginLoss", {}, ("rows", "signs")),
    "multilabel_soft_margin": ("MultiLabelSoftMarginLoss", {}, ("rows", "bits")),
    "hinge": ("HingeEmbeddingLoss", {"margin": 0.5}, ("rows", "signs")),
    "cosine_embedding": ("CosineEmbeddingLoss", {"margin": 0.1}, ("rows", "rows2", "row_signs")),
    "margin_ranking": ("MarginRankingLoss", {"margin": 0.2}, ("rows", "rows2", "signs")),
    "triplet": ("TripletMarginLoss", {"swap": True}, ("rows", "rows2", "rows4")),
    "cosine": ("CosineSimilarity", {}, ("rows", "rows2")),
    "distance": ("PairwiseDistance", {"p": 1.0, "keepdim": True}, ("rows", "rows2")),
}


def loss_inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    values = {name: rng.standard_normal((6, 4)) for name in ("rows", "rows2", "rows4")}
    return {
        **values,
        "classes": np.array([0, 3, 2, 1, 1, 0]),
        "chances": rng.uniform(0.1, 0.9, (6, 4)),
        "bits": rng.integers(0, 2, (6, 4)).astype(np.float64),
        "counts": rng.integers(0, 5, (6, 4)).astype(np.float64),
        "signs": rng.choice([-1.0, 1.0], (6, 4)),
        "row_signs": rng.choice([-1.0, 1.0], 6),
    }


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    kind, options, inputs = LOSSES[name]
    values = loss_inputs()
    ours = [al.tensor(values[key]) for key in inputs]
    theirs = [torch.tensor(values[key]) for key in inputs]
    ours[0].requires_grad_()
    theirs[0].requires_grad_()
    result, expected = getattr(nn, kind)(**options)(*ours), getattr(torch.nn, kind)(**options)(*theirs)
    assert_close(expected.detach().numpy(), result, 1e-10)
    result.sum().backward()
    expected.sum().backward()
    assert_close(theirs[0].grad.numpy(), ours[0].grad, 1e-10)
