"""Functions that differentiate and map functions, with the names of `torch.func`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ascendlite.absent import absent as _absent
from ascendlite.autograd import functional
from ascendlite.core import FUNCTIONS, Tensor, enable_grad, zeros_like
from ascendlite.core.autograd import grad as _grad
from ascendlite.errors import ArgumentError, ShapeError

Argnums = int | tuple[int, ...]


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives (gradient, value) of `func`, which returns a tensor of one element (or that and something else)."""
    numbers = (argnums,) if isinstance(argnums, int) else argnums

    def run(*args: Any, **kwargs: Any) -> Any:
        given = list(args)
        deeper = any(isinstance(args[k], Tensor) and args[k].requires_grad for k in numbers)
        for k in numbers:
            x = args[k]
            if not isinstance(x, Tensor):
                raise TypeError(f"grad(): argument {k} must be Tensor, not {type(x).__name__}")
            given[k] = x.view(x.shape) if x.requires_grad else x.detach().requires_grad_()
        with enable_grad():
            y, *aux = func(*given, **kwargs) if has_aux else (func(*given, **kwargs),)
        if not isinstance(y, Tensor) or y.numel() != 1:
            raise ShapeError(f"grad: func must return a Tensor with one element; got {tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__}")
        inputs = [given[k] for k in numbers]
        found = _grad([y], inputs, retain_graph=True, create_graph=True, allow_unused=True) if y.requires_grad else [None] * len(inputs)
        slopes = tuple(zeros_like(x) if g is None else g if deeper else g.detach() for x, g in zip(inputs, found, strict=True))
        slope = slopes if isinstance(argnums, tuple) else slopes[0]
        value = y if deeper else y.detach()
        return (slope, (value, *aux)) if has_aux else (slope, value)

    return run


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of `func` by its arguments `argnums`.

    >>> al.func.grad(al.func.grad(lambda x: x ** 3))(al.tensor(2.0))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    def run(*args: Any, **kwargs: Any) -> Any:
        slope, value = both(*args, **kwargs)
        return (slope, value[1]) if has_aux else slope

    return run


def vjp(func: Callable[..., Any], *primals: Tensor) -> tuple[Any, Callable[..., Any]]:
    """(func(*primals), a function from cotangents of the result to gradients of the primals)."""
    xs = tuple(x.view(x.shape) if x.requires_grad else x.detach().requires_grad_() for x in primals)
    with enable_grad():
        y = func(*xs)
    outputs = y if isinstance(y, tuple) else (y,)
    deeper = any(x.requires_grad for x in primals)

    def pull(*cotangents: Any) -> tuple[Tensor, ...]:
        given = cotangents[0] if len(cotangents) == 1 and isinstance(cotangents[0], tuple) else cotangents
        found = _grad(list(outputs), list(xs), list(given), retain_graph=True, create_graph=deeper, allow_unused=True)
        return tuple(zeros_like(x) if g is None else g for x, g in zip(xs, found, strict=True))

    value = outputs if deeper else tuple(t.detach() for t in outputs)
    return value if isinstance(y, tuple) else value[0], pull


def jvp(func: Callable[..., Any], primals: tuple[Tensor, ...], tangents: tuple[Tensor, ...]) -> tuple[Any, Any]:
    """(func(*primals), the derivative along the tangents)."""
    return functional.jvp(func, tuple(primals), tuple(tangents), create_graph=any(x.requires_grad for x in (*primals, *tangents)))


def jacrev(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that gives the Jacobian of `func` by its argument `argnums`.

    >>> al.func.jacrev(lambda x: x * x)(al.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    def run(*args: Any) -> Any:
        return functional.jacobian(lambda x: func(*args[:argnums], x, *args[argnums + 1 :]), args[argnums], create_graph=args[argnums].requires_grad)

    return run


jacfwd = jacrev  # the same values; there is one mode of differentiation here


def hessian(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that gives the second derivatives of `func`, which returns one element."""

    def run(*args: Any) -> Any:
        return functional.hessian(lambda x: func(*args[:argnums], x, *args[argnums + 1 :]), args[argnums], create_graph=args[argnums].requires_grad)

    return run


def functional_call(module: Any, parameters: Mapping[str, Tensor], args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
    """The module called with other parameters and buffers in the places of its own, by name."""
    former: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for name, value in parameters.items():
            path, _, key = name.rpartition(".")
            owner = module.get_submodule(path) if path else module
            table = next((t for t in (owner._parameters, owner._buffers) if key in t), None)
            if table is None:
                raise ArgumentError(f"functional_call: the module has no parameter or buffer {name!r}")
            former.append((table, key, table[key]))
            table[key] = value
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for table, key, value in reversed(former):
            table[key] = value


def _stacked(results: list[Any], dim: int) -> Any:
    first = results[0]
    if isinstance(first, (tuple, list)):
        return type(first)(_stacked([r[k] for r in results], dim) for k in range(len(first)))
    if isinstance(first, dict):
        return {k: _stacked([r[k] for r in results], dim) for k in first}
    if not isinstance(first, Tensor):
        raise TypeError(f"vmap(): func must return Tensors or nests of them, not {type(first).__name__}")
    return FUNCTIONS["stack"](results, dim)


def vmap(func: Callable[..., Any], in_dims: Any = 0, out_dims: int = 0) -> Callable[..., Any]:
    """`func` for every slice of its arguments along `in_dims` (None: the whole argument), results stacked along `out_dims`.

    One call of `func` a slice: the meaning of a batch dimension, not its speed.

    >>> al.func.vmap(al.dot)(al.ones(3, 2), al.ones(3, 2))
    tensor([2., 2., 2.])
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        dims = tuple(in_dims) if isinstance(in_dims, (tuple, list)) else (in_dims,) * len(args)
        if len(dims) != len(args):
            raise ArgumentError(f"vmap: in_dims has {len(dims)} entries for {len(args)} arguments")
        for number, (a, d) in enumerate(zip(args, dims, strict=True)):
            if d is not None and (not isinstance(a, Tensor) or not isinstance(d, int) or not -a.ndim <= d < a.ndim):
                got = f"shape {tuple(a.shape)}" if isinstance(a, Tensor) else f"type {type(a).__name__}"
                raise ArgumentError(f"vmap: in_dims is {d} for argument {number}, of {got}; give a dim of a tensor, or None for the whole argument")
        sizes = {a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None}
        if len(sizes) != 1:
            raise ArgumentError(f"vmap: expected all mapped dims to have one size, got {sorted(sizes)}" if sizes else "vmap: no argument is mapped")
        results = [func(*(a if d is None else a.select(d, i) for a, d in zip(args, dims, strict=True)), **kwargs) for i in range(sizes.pop())]
        if not results:
            raise ShapeError("vmap: the mapped dim has size 0, so there is no call whose shapes the result could have")
        return _stacked(results, out_dims)

    return run


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(parameters, buffers) of modules of one kind, each stacked along a new first dim: for `vmap` of `functional_call`."""
    if not models:
        raise ArgumentError("stack_module_state: Expected at least one model, got 0")
    params = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    if any(p.keys() != params[0].keys() or b.keys() != buffers[0].keys() for p, b in zip(params, buffers, strict=True)):
        raise ArgumentError("stack_module_state: Expected all models to be of the same class, but their parameters differ")
    stack = FUNCTIONS["stack"]
    stacked = {k: stack([p[k].detach() for p in params]).requires_grad_(params[0][k].requires_grad) for k in params[0]}
    return stacked, {k: stack([b[k] for b in buffers]) for k in buffers[0]}


def __getattr__(name: str) -> Any:
    raise _absent("func", name)
