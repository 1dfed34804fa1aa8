"""Layers that learn the size of their input from the first batch, and then are the plain layer of that name."""

from __future__ import annotations

from typing import Any, ClassVar

from ..core import Device, DType, Tensor, no_grad
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .linear import Linear
from .module import Module
from .parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from .sizes import Size


def _infer(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(f"module {type(module).__name__} has not been fully initialized by initialize_parameters")
    module._initialize_hook.remove()
    module._load_hook.remove()
    del module._initialize_hook, module._load_hook
    if module.cls_to_become is not None:
        module.__class__ = module.cls_to_become


def _take_shapes(module: Any, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """A loaded state decides the shapes, as a batch would."""
    for name, value in (*module._parameters.items(), *module._buffers.items()):
        loaded = state_dict.get(prefix + name)
        if is_lazy(value) and loaded is not None and not is_lazy(loaded):
            with no_grad():
                value.materialize(loaded.shape)


class LazyModuleMixin(Module):
    """Base of modules with uninitialized parameters: write `initialize_parameters(*inputs)`, which materializes them."""

    cls_to_become: ClassVar[type[Module] | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self.register_load_state_dict_pre_hook(_take_shapes)
        self._initialize_hook = self.register_forward_pre_hook(_infer, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give every parameter the shape that this input asks for."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}; write it")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer still has no shape."""
        return any(is_lazy(value) for value in (*self._parameters.values(), *self._buffers.values()))

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, value in (*self._parameters.items(), *self._buffers.items()):
            if is_lazy(value) and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = value


class _Lazy(LazyModuleMixin):
    """The parts that the layers share: weight and bias by the size of the input."""

    reset_parameters: Any

    def _take(self, **tensors: tuple[int, ...]) -> None:
        with no_grad():
            for name, shape in tensors.items():
                value = getattr(self, name)
                if is_lazy(value):
                    value.materialize(shape)
            self.reset_parameters()

    def _make(self, bias: bool, device: str | Device | None, dtype: DType | None) -> None:
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.bias = UninitializedParameter(device=device, dtype=dtype) if bias else None


class LazyLinear(_Lazy, Linear):  # type: ignore[misc]
    """Linear whose in_features is the last size of the first input.

    >>> layer = al.nn.LazyLinear(4)
    >>> layer(al.ones(2, 3)).shape, layer
    ((2, 4), Linear(in_features=3, out_features=4, bias=True))
    """

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: str | Device | None = None, dtype: DType | None = None) -> None:
        super().__init__(1, 1, False)
        self.in_features, self.out_features = 0, out_features
        self._make(bias, device, dtype)

    def initialize_parameters(self, input: Tensor) -> None:
        """Shapes from an input (*, in_features)."""
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            self._take(weight=(self.out_features, self.in_features), bias=(self.out_features,))
        else:
            self.in_features = self.weight.shape[1]


class _LazyConv(_Lazy):
    transposed: ClassVar[bool]
    spatial: ClassVar[int]
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    groups: int

    def __init__(
        self, out_channels: int, kernel_size: Size, *options: Any, bias: bool = True, groups: int = 1, device: str | Device | None = None,
        dtype: DType | None = None, **named: Any,
    ) -> None:  # fmt: skip
        super().__init__(groups, groups, kernel_size, *options, groups=groups, bias=False, **named)
        self.in_channels, self.out_channels = 0, out_channels
        self._make(bias, device, dtype)

    def initialize_parameters(self, input: Tensor, *_: Any) -> None:
        """Shapes from an input (N, C, *) or (C, *)."""
        if input.ndim not in (self.spatial + 1, self.spatial + 2):
            raise RuntimeError(
                f"{type(self).__name__}: expected {self.spatial + 1}D (unbatched) or {self.spatial + 2}D (batched) input, "
                f"but got input of size {list(input.shape)}"
            )
        if not self.has_uninitialized_params():
            self.in_channels = self.weight.shape[0] if self.transposed else self.weight.shape[1] * self.groups
            return
        channels = input.shape[input.ndim - self.spatial - 1]
        if channels % self.groups:
            raise ValueError(f"{type(self).__name__}: in_channels {channels} must be divisible by groups {self.groups}")
        self.in_channels = channels
        pair = (channels, self.out_channels // self.groups) if self.transposed else (self.out_channels, channels // self.groups)
        self._take(weight=(*pair, *self.kernel_size), bias=(self.out_channels,))


class LazyConv1d(_LazyConv, Conv1d):  # type: ignore[misc]
    """Conv1d whose in_channels comes from the first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):  # type: ignore[misc]
    """Conv2d whose in_channels comes from the first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConv, Conv3d):  # type: ignore[misc]
    """Conv3d whose in_channels comes from the first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConv, ConvTranspose1d):  # type: ignore[misc]
    """ConvTranspose1d whose in_channels comes from the first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConv, ConvTranspose2d):  # type: ignore[misc]
    """ConvTranspose2d whose in_channels comes from the first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConv, ConvTranspose3d):  # type: ignore[misc]
    """ConvTranspose3d whose in_channels comes from the first input."""

    cls_to_become = ConvTranspose3d


class _LazyNorm(_Lazy):
    _default_affine: ClassVar[bool]
    num_features: int
    _check_input_dim: Any
    expected_ndim: ClassVar[tuple[int, ...]]
    unbatched: ClassVar[bool] = False

    def __init__(
        self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool | None = None, track_running_stats: bool | None = None,
        device: str | Device | None = None, dtype: DType | None = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        affine = self._default_affine if affine is None else affine
        track = self._default_affine if track_running_stats is None else track_running_stats
        super().__init__(0, eps, momentum, affine, track, device, dtype)
        if affine:
            self._make(bias, device, dtype)
        if track:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)

    def initialize_parameters(self, input: Tensor) -> None:
        """Shapes from the channels of an input."""
        self._check_input_dim(input)
        lazy = self.has_uninitialized_params()
        size = input.shape[0 if self.unbatched and input.ndim == self.expected_ndim[0] else 1]
        known = next((v for v in (*self._parameters.values(), *self._buffers.values()) if v is not None and v.ndim), None)
        self.num_features = size if lazy or known is None else known.shape[0]
        if lazy:
            names = ("weight", "bias", "running_mean", "running_var")
            self._take(**{name: (size,) for name in names if is_lazy(getattr(self, name))})


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):  # type: ignore[misc]
    """BatchNorm1d whose num_features comes from the first input."""

    cls_to_become, _default_affine = BatchNorm1d, True


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):  # type: ignore[misc]
    """BatchNorm2d whose num_features comes from the first input."""

    cls_to_become, _default_affine = BatchNorm2d, True


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):  # type: ignore[misc]
    """BatchNorm3d whose num_features comes from the first input."""

    cls_to_become, _default_affine = BatchNorm3d, True


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):  # type: ignore[misc]
    """InstanceNorm1d whose num_features comes from the first input."""

    cls_to_become, _default_affine, unbatched = InstanceNorm1d, False, True


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):  # type: ignore[misc]
    """InstanceNorm2d whose num_features comes from the first input."""

    cls_to_become, _default_affine, unbatched = InstanceNorm2d, False, True


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):  # type: ignore[misc]
    """InstanceNorm3d whose num_features comes from the first input."""

    cls_to_become, _default_affine, unbatched = InstanceNorm3d, False, True
