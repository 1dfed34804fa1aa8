"""Parameters of another dtype than the input: refused or converted, and never read as what they are not."""

import pytest

import ascendlite as al

F = al.nn.functional


@pytest.mark.parametrize("loss", [F.nll_loss, F.cross_entropy])
@pytest.mark.parametrize("dtype", [al.float16, al.float64, al.int64])
def test_class_weights_of_another_dtype_are_refused(loss, dtype):
    with pytest.raises(RuntimeError, match="expected weight of dtype float32"):
        loss(al.zeros(2, 3), al.tensor([0, 2]), al.ones(3, dtype=dtype))


@pytest.mark.parametrize(("of_input", "of_weight"), [(al.float64, al.float32), (al.float32, al.float64), (al.float32, al.int64)])
def test_layer_norm_refuses_a_mixture_that_rms_norm_converts(of_input, of_weight):
    x, w = al.tensor([[3.0, 4.0]], dtype=of_input), al.full((2,), 2, dtype=of_weight)
    with pytest.raises(RuntimeError, match="layer_norm: mixed dtypes"):
        F.layer_norm(x, (2,), w)
    normed = F.rms_norm(x, (2,), w, eps=0.0)
    assert normed.dtype is of_input
    al.testing.assert_close(normed, al.tensor([[6.0, 8.0]], dtype=of_input) / 12.5**0.5)


def test_a_16_bit_input_takes_float32_parameters():
    x = al.ones(1, 4, dtype=al.bfloat16)
    assert F.layer_norm(x, (4,), al.ones(4), al.full((4,), 3.0)).tolist() == [[3.0] * 4]
