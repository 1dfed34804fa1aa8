"""Pruning: weights of a module that are held at zero by a mask, by torch's names and state dict keys.

A pruned parameter `weight` becomes the parameter `weight_orig` and the buffer `weight_mask`; before every call of the module
`weight` is their product.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...core import FUNCTIONS, Tensor, ones_like, zeros_like
from ..module import Module

Amount = int | float


def _validate_pruning_amount_init(amount: Amount) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if (isinstance(amount, numbers.Integral) and amount < 0) or (not isinstance(amount, numbers.Integral) and not 0 <= amount <= 1):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def _validate_pruning_amount(amount: Amount, tensor_size: int) -> None:
    if isinstance(amount, numbers.Integral) and amount > tensor_size:
        raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={tensor_size}")


def _validate_structured_pruning(t: Tensor) -> None:
    if t.ndim <= 1:
        raise ValueError(f"Structured pruning can only be applied to multidimensional tensors. Found tensor of shape {tuple(t.shape)}")


def _compute_nparams_toprune(amount: Amount, tensor_size: int) -> int:
    return amount if isinstance(amount, int) else round(amount * tensor_size)


def _lowest(scores: Tensor, n: int) -> Tensor:
    indices: Tensor = scores.topk(n, largest=False).indices
    return indices


class BasePruningMethod(ABC):
    """A way to choose what is pruned: subclasses write `compute_mask` and say their PRUNING_TYPE."""

    PRUNING_TYPE: str = "unstructured"
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of `t`: 0 where it is pruned; what `default_mask` prunes stays pruned."""

    def apply_mask(self, module: Module) -> Tensor:
        """The original parameter times the mask."""
        mask, original = getattr(module, self._tensor_name + "_mask"), getattr(module, self._tensor_name + "_orig")
        pruned: Tensor = mask.to(original.dtype) * original
        return pruned

    @classmethod
    def apply(cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any) -> BasePruningMethod:
        """Prune the parameter `name` of the module; a second time adds to the first's mask."""
        method = cls(*args, **kwargs)
        method._tensor_name = name
        old = _method_of(module, name)
        if old is not None:
            container = PruningContainer(*old) if isinstance(old, PruningContainer) else PruningContainer(old)
            container._tensor_name = name
            container.add_pruning_method(method)
            method, old_mask = container, getattr(module, name + "_mask")
        original: Any = getattr(module, name if old is None else name + "_orig")
        scores = original if importance_scores is None else importance_scores
        if scores.shape != original.shape:
            raise AssertionError(f"prune: importance_scores has shape {tuple(scores.shape)}, parameter {name} has {tuple(original.shape)}")
        if old is None:
            mask = method.compute_mask(scores.detach(), ones_like(original))
            delattr(module, name)
            module.register_parameter(name + "_orig", original)
            module.register_buffer(name + "_mask", mask)
        else:
            _remove_hook(module, old)
            scores = getattr(module, name) if importance_scores is None else importance_scores
            setattr(module, name + "_mask", method.compute_mask(scores.detach(), old_mask))
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """`t` with zeros where it is pruned."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError(f"prune: importance_scores has shape {tuple(scores.shape)}, the tensor has {tuple(t.shape)}")
        mask = self.compute_mask(scores, ones_like(t) if default_mask is None else default_mask)
        return t * mask.to(t.dtype)

    def remove(self, module: Module) -> None:
        """Make the parameter a plain one again, with what is pruned at zero."""
        name = self._tensor_name
        original: Any = module._parameters.pop(name + "_orig")
        original.data = self.apply_mask_to(original, getattr(module, name + "_mask"))
        del module._buffers[name + "_mask"]
        delattr(module, name)
        setattr(module, name, original)

    @staticmethod
    def apply_mask_to(original: Tensor, mask: Tensor) -> Tensor:
        """The product, without history."""
        return mask.to(original.dtype) * original.detach()


def _methods(module: Module) -> list[BasePruningMethod]:
    table = module._hook_table
    return [h.function for h in table.forward_pre.values() if isinstance(h.function, BasePruningMethod)] if table else []


def _method_of(module: Module, name: str) -> BasePruningMethod | None:
    return next((m for m in _methods(module) if m._tensor_name == name), None)


def _remove_hook(module: Module, method: BasePruningMethod) -> None:
    table = module._hooks().forward_pre
    for key in [k for k, h in table.items() if h.function is method]:
        del table[key]


class PruningContainer(BasePruningMethod):
    """Pruning methods one after another: each chooses among what those before it left."""

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        for method in args:
            if not hasattr(self, "_tensor_name"):
                self._tensor_name = method._tensor_name
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Append a method for the same tensor."""
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and getattr(self, "_tensor_name", method._tensor_name) != method._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to PruningContainer {self}. "
                f"Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)  # type: ignore[operator]

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, index: int) -> BasePruningMethod:
        return self._pruning_methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of the newest method, of what `default_mask` left, together with that."""
        method, mask = self._pruning_methods[-1], default_mask.to(t.dtype)
        if method.PRUNING_TYPE == "global":
            keep: Any = (slice(None),) * t.ndim
        elif method.PRUNING_TYPE == "unstructured":
            keep = mask == 1
        elif method.PRUNING_TYPE == "structured":
            axis: int = method.dim % t.ndim  # type: ignore[attr-defined]
            rest = [d for d in range(t.ndim) if d != axis]
            keep = (slice(None),) * axis + (mask.sum(rest) != 0,)
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        new = mask.clone()
        new[keep] = method.compute_mask(t[keep], mask[keep]).to(mask.dtype)
        return new


class Identity(BasePruningMethod):
    """Prunes nothing; only the mask and the hook are made."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The default mask."""
        return default_mask


class _Amount(BasePruningMethod):
    def __init__(self, amount: Amount) -> None:
        _validate_pruning_amount_init(amount)
        self.amount = amount

    def count(self, size: int) -> int:
        """How many of `size` are to be pruned."""
        n = _compute_nparams_toprune(self.amount, size)
        _validate_pruning_amount(n, size)
        return n

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The default mask without the elements of the lowest scores."""
        n, mask = self.count(t.numel()), default_mask.clone()
        if n:
            mask.view(-1)[_lowest(self.scores(t).reshape(-1), n)] = 0
        return mask

    def scores(self, t: Tensor) -> Tensor:
        """What the elements are ordered by."""
        raise NotImplementedError


class RandomUnstructured(_Amount):
    """Prunes elements at random: a number, or a fraction of them."""

    def scores(self, t: Tensor) -> Tensor:
        """Random numbers."""
        return FUNCTIONS["rand"](t.shape, device=t.device)  # type: ignore[no-any-return]


class L1Unstructured(_Amount):
    """Prunes the elements of smallest magnitude: a number, or a fraction of them."""

    def scores(self, t: Tensor) -> Tensor:
        """Magnitudes."""
        return t.abs()


class _Structured(_Amount):
    PRUNING_TYPE = "structured"

    def __init__(self, amount: Amount, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def channel_scores(self, t: Tensor) -> Tensor:
        """One score for each slice along `dim`."""
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The default mask without the slices of the lowest scores."""
        _validate_structured_pruning(t)
        n = self.count(t.shape[self.dim])
        if not n:
            return default_mask
        mask = zeros_like(default_mask)
        kept = t.shape[self.dim] - n
        scores = self.channel_scores(t)
        place = (slice(None),) * (self.dim % t.ndim) + (scores.topk(kept, largest=True).indices,)
        mask[place] = 1
        return mask * default_mask.to(mask.dtype)


class RandomStructured(_Structured):
    """Prunes slices along `dim` at random."""

    def channel_scores(self, t: Tensor) -> Tensor:
        """Random numbers."""
        return FUNCTIONS["rand"](t.shape[self.dim], device=t.device)  # type: ignore[no-any-return]


class LnStructured(_Structured):
    """Prunes the slices along `dim` of smallest n-norm."""

    def __init__(self, amount: Amount, n: int | float | str, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def channel_scores(self, t: Tensor) -> Tensor:
        """The norm of each slice."""
        return FUNCTIONS["norm"](t, p=self.n, dim=[d for d in range(t.ndim) if d != self.dim % t.ndim])  # type: ignore[no-any-return]


class CustomFromMask(BasePruningMethod):
    """Prunes where a given mask is 0."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Both masks together."""
        if default_mask.shape != self.mask.shape:
            raise AssertionError(f"prune: the mask has shape {tuple(self.mask.shape)}, the parameter {tuple(default_mask.shape)}")
        return default_mask * self.mask.to(default_mask.dtype)


def identity(module: Module, name: str) -> Module:
    """Make the mask and the hook of a parameter, and prune nothing."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Amount) -> Module:
    """Prune a number, or a fraction, of a parameter's elements at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: Amount, importance_scores: Tensor | None = None) -> Module:
    """Prune the elements of smallest magnitude (or importance).

    >>> layer = al.nn.utils.prune.l1_unstructured(al.nn.Linear(4, 4), "weight", amount=0.25)
    >>> int((layer.weight == 0).sum())
    4
    """
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Amount, dim: int) -> Module:
    """Prune slices along a dim at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Module, name: str, amount: Amount, n: int | float | str, dim: int, importance_scores: Tensor | None = None) -> Module:
    """Prune the slices along a dim of smallest n-norm."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune where the mask is 0."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]], pruning_method: type[BasePruningMethod],
    importance_scores: Mapping[tuple[Module, str], Tensor] | None = None, **kwargs: Any,
) -> None:  # fmt: skip
    """Prune several parameters as if they were one: the lowest scores of all of them go."""
    if not isinstance(parameters, Sequence):
        raise TypeError("global_unstructured(): parameters is not an Iterable of (module, name); pass a list or tuple")
    given = importance_scores or {}
    if not isinstance(given, Mapping):
        raise TypeError("global_unstructured(): importance_scores should be of type dict")
    if pruning_method.PRUNING_TYPE != "unstructured":
        raise TypeError(f'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found {pruning_method.PRUNING_TYPE}')
    scores = [given.get((module, name), getattr(module, name)).detach() for module, name in parameters]
    old = [getattr(module, name + "_mask", ones_like(s)) for (module, name), s in zip(parameters, scores, strict=True)]
    container = PruningContainer()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    container.add_pruning_method(method)
    join = FUNCTIONS["cat"]
    final = container.compute_mask(join([s.reshape(-1) for s in scores]), join([m.reshape(-1) for m in old]))
    at = 0
    for (module, name), s in zip(parameters, scores, strict=True):
        custom_from_mask(module, name, final[at : at + s.numel()].view(s.shape))
        at += s.numel()


def remove(module: Module, name: str) -> Module:
    """Make a pruned parameter a plain one again; it stays zero where it was pruned."""
    method = _method_of(module, name)
    if method is None:
        raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    method.remove(module)
    _remove_hook(module, method)
    return module


def is_pruned(module: Module) -> bool:
    """Whether a parameter of the module, or of a module in it, is pruned."""
    return any(_methods(m) for m in module.modules())
