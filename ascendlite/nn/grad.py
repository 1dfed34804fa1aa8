"""Gradients of convolutions as functions of their own, as torch.nn.grad has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..core import Tensor, is_grad_enabled, zeros
from ..core.autograd import grad
from ..core.modes import enable_grad
from . import functional as F

Size = int | Sequence[int]
Convolution = Callable[..., Tensor]


def _gradient(convolve: Convolution, input: Tensor, weight: Tensor, grad_output: Tensor, wanted: int, how: tuple[Size | int, ...]) -> Tensor:
    stride, padding, dilation, groups = how
    with enable_grad():
        operands = [t if t.requires_grad else t.detach().requires_grad_() for t in (input, weight)]
        output = convolve(operands[0], operands[1], None, stride, padding, dilation, groups)
    (found,) = grad(output, operands[wanted], grad_output, create_graph=is_grad_enabled() and grad_output.requires_grad)
    assert found is not None
    return found


def _pair(convolve: Convolution, name: str) -> tuple[Convolution, Convolution]:
    def of_input(
        input_size: Sequence[int], weight: Tensor, grad_output: Tensor, stride: Size = 1, padding: Size = 0, dilation: Size = 1, groups: int = 1
    ) -> Tensor:
        input = zeros(tuple(input_size), dtype=weight.dtype, device=weight.device)
        return _gradient(convolve, input, weight, grad_output, 0, (stride, padding, dilation, groups))

    def of_weight(
        input: Tensor, weight_size: Sequence[int], grad_output: Tensor, stride: Size = 1, padding: Size = 0, dilation: Size = 1, groups: int = 1
    ) -> Tensor:
        weight = zeros(tuple(weight_size), dtype=input.dtype, device=input.device)
        return _gradient(convolve, input, weight, grad_output, 1, (stride, padding, dilation, groups))

    of_input.__name__, of_weight.__name__ = f"{name}_input", f"{name}_weight"
    of_input.__doc__ = f"The gradient of {name} with respect to an input of shape `input_size`."
    of_weight.__doc__ = f"The gradient of {name} with respect to a weight of shape `weight_size`."
    return of_input, of_weight


conv1d_input, conv1d_weight = _pair(F.conv1d, "conv1d")
conv2d_input, conv2d_weight = _pair(F.conv2d, "conv2d")
conv3d_input, conv3d_weight = _pair(F.conv3d, "conv3d")
