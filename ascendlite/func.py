"""Functions that differentiate and map functions, with the names of `torch.func`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ascendlite.absent import absent as _absent
from ascendlite.autograd import functional
from ascendlite.core import FUNCTIONS, Tensor, default_generator, enable_grad, zeros_like
from ascendlite.core.autograd import grad as _grad
from ascendlite.errors import ArgumentError, ShapeError

Argnums = int | tuple[int, ...]


def _leaves(tree: Any) -> list[Any]:
    """What a nest of tuples, lists and dicts holds, in order."""
    if isinstance(tree, (tuple, list)):
        return [x for part in tree for x in _leaves(part)]
    if isinstance(tree, Mapping):
        return [x for part in tree.values() for x in _leaves(part)]
    return [tree]


def _rebuilt(tree: Any, leaves: Iterator[Any]) -> Any:
    """A nest like `tree` of other leaves."""
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_rebuilt(part, leaves) for part in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(_rebuilt(part, leaves) for part in tree)
    if isinstance(tree, Mapping):
        return {k: _rebuilt(part, leaves) for k, part in tree.items()}
    return next(leaves)


def _tensors(op: str, number: int, tree: Any) -> list[Tensor]:
    leaves = _leaves(tree)
    for x in leaves:
        if not isinstance(x, Tensor):
            raise TypeError(f"{op}(): argument {number} must be Tensor or a nest of them, not {type(x).__name__}")
    return leaves


def _fresh(x: Tensor) -> Tensor:
    """x as an input that gradients are asked of."""
    return x.view(x.shape) if x.requires_grad else x.detach().requires_grad_()


def _detached(tree: Any) -> Any:
    return _rebuilt(tree, (t.detach() if isinstance(t, Tensor) else t for t in _leaves(tree)))


def _slopes(ys: Sequence[Any], xs: Sequence[Tensor], cotangents: Sequence[Tensor] | None, create_graph: bool) -> list[Tensor]:
    """Gradients of ys by xs; zeros where there is no way."""
    kept = [k for k, y in enumerate(ys) if isinstance(y, Tensor) and y.requires_grad]
    given = None if cotangents is None else [cotangents[k] for k in kept]
    found = _grad([ys[k] for k in kept], list(xs), given, retain_graph=True, create_graph=create_graph, allow_unused=True) if kept else [None] * len(xs)
    return [zeros_like(x) if g is None else g for x, g in zip(xs, found, strict=True)]


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives (gradient, value) of `func`, which returns a tensor of one element (or that and something else).

    The arguments that it differentiates by are tensors, or nests of them (a dict of parameters), and so is the gradient.
    """
    numbers = (argnums,) if isinstance(argnums, int) else argnums

    def run(*args: Any, **kwargs: Any) -> Any:
        given = list(args)
        primals = [_tensors("grad", k, args[k]) for k in numbers]
        deeper = any(x.requires_grad for leaves in primals for x in leaves)
        inputs = [[_fresh(x) for x in leaves] for leaves in primals]
        for k, leaves in zip(numbers, inputs, strict=True):
            given[k] = _rebuilt(args[k], iter(leaves))
        with enable_grad():
            y, *aux = func(*given, **kwargs) if has_aux else (func(*given, **kwargs),)
        if not isinstance(y, Tensor) or y.numel() != 1:
            raise ShapeError(f"grad: func must return a Tensor with one element; got {tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__}")
        found = iter(_slopes([y], [x for leaves in inputs for x in leaves], None, True))
        slopes = tuple(_rebuilt(args[k], (g if deeper else g.detach() for g in found)) for k in numbers)
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


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(func(*primals), a function from cotangents of the result to gradients of the primals), and what else `func` returned with `has_aux`."""
    leaves = [x for number, tree in enumerate(primals) for x in _tensors("vjp", number, tree)]
    xs, deeper = [_fresh(x) for x in leaves], any(x.requires_grad for x in leaves)
    with enable_grad():
        y, *aux = func(*_rebuilt(primals, iter(xs))) if has_aux else (func(*_rebuilt(primals, iter(xs))),)
    ys = _tensors("vjp", 0, y)

    def pull(*cotangents: Any) -> tuple[Any, ...]:
        given = _tensors("vjp", 0, cotangents)
        if len(given) != len(ys):
            raise ArgumentError(f"vjp: func returned {len(ys)} tensors, but {len(given)} cotangents were given; give one for each")
        return tuple(_rebuilt(primals, iter(_slopes(ys, xs, given, deeper))))

    return (y if deeper else _detached(y), pull, *aux)


def jvp(func: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...], *, strict: bool = False, has_aux: bool = False) -> tuple[Any, ...]:
    """(func(*primals), the derivative along the tangents), and what else `func` returned with `has_aux`."""
    xs, along = _tensors("jvp", 0, primals), _tensors("jvp", 1, tangents)
    returned: list[Any] = []

    def flat(*leaves: Tensor) -> tuple[Tensor, ...]:
        returned[:] = func(*_rebuilt(primals, iter(leaves))) if has_aux else (func(*_rebuilt(primals, iter(leaves))),)
        return tuple(_tensors("jvp", 0, returned[0]))

    ys, slopes = functional.jvp(flat, tuple(xs), tuple(along), create_graph=any(x.requires_grad for x in (*xs, *along)), strict=strict)
    y, *aux = returned
    return (_rebuilt(y, iter(ys)), _rebuilt(y, iter(slopes)), *aux)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """(func(*primals), a function from tangents to the derivative along them there), which runs `func` once.

    >>> y, slope = al.func.linearize(lambda x: x ** 2, al.tensor(3.0))
    >>> slope(al.tensor(1.0))
    tensor(6.)
    """
    xs = [_fresh(x) for number, tree in enumerate(primals) for x in _tensors("linearize", number, tree)]
    with enable_grad():
        y = func(*_rebuilt(primals, iter(xs)))
        ys = _tensors("linearize", 0, y)
        dummies = [zeros_like(t).requires_grad_() for t in ys]  # the gradient is linear in them: its own gradient is the derivative
        products = _slopes(ys, xs, dummies, True)

    def push(*tangents: Any) -> Any:
        along = _tensors("linearize", 0, tangents)
        if [t.shape for t in along] != [x.shape for x in xs]:
            raise ShapeError(f"linearize: tangents of shapes {[tuple(t.shape) for t in along]} for primals of {[tuple(x.shape) for x in xs]}; give one for each")
        return _rebuilt(y, iter(_slopes(products, dummies, along, False)))

    return _detached(y), push


def jacrev(
    func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None, randomness: str = "error"
) -> Callable[..., Any]:
    """A function that gives the Jacobian of `func` by its argument (or arguments) `argnums`. Rows are taken one by one: `chunk_size` changes nothing.

    >>> al.func.jacrev(lambda x: x * x)(al.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        aux: list[Any] = []

        def value(*xs: Tensor) -> Any:
            y = func(*_with(args, argnums, xs), **kwargs)
            if has_aux:
                y, *aux[:] = y
            return y

        inputs = args[argnums] if isinstance(argnums, int) else tuple(args[k] for k in argnums)
        found = functional.jacobian(value, inputs, create_graph=any(x.requires_grad for x in _leaves(inputs)))
        return (found, *_detached(tuple(aux))) if has_aux else found

    return run


def jacfwd(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: int | None = None, randomness: str = "error"
) -> Callable[..., Any]:
    """`jacrev`, with the arguments of torch's jacfwd: the same values, as there is one mode of differentiation here."""
    return jacrev(func, argnums, has_aux=has_aux)


def _with(args: tuple[Any, ...], argnums: Argnums, xs: tuple[Tensor, ...]) -> list[Any]:
    """The arguments with others at `argnums`."""
    given = list(args)
    for k, x in zip((argnums,) if isinstance(argnums, int) else argnums, xs, strict=True):
        given[k] = x
    return given


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that gives the second derivatives of `func`, which returns one element."""

    def run(*args: Any, **kwargs: Any) -> Any:
        inputs = args[argnums] if isinstance(argnums, int) else tuple(args[k] for k in argnums)
        create_graph = any(x.requires_grad for x in _leaves(inputs))
        return functional.hessian(lambda *xs: func(*_with(args, argnums, xs), **kwargs), inputs, create_graph=create_graph)

    return run


def functional_call(
    module: Any, parameter_and_buffer_dicts: Mapping[str, Tensor] | tuple[Mapping[str, Tensor], ...], args: Any = None,
    kwargs: Mapping[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False,
) -> Any:
    """The module called with other parameters and buffers in the places of its own, by name; `strict`: with all of them.

    A weight that the module has under several names is replaced under all of them, unless `tie_weights` is off.
    """
    dicts = parameter_and_buffer_dicts if isinstance(parameter_and_buffer_dicts, tuple) else (parameter_and_buffer_dicts,)
    given = {name: value for part in dicts for name, value in part.items()}
    owners = {(f"{path}." if path else "") + key: (table, key)
              for path, owner in module.named_modules(remove_duplicate=False) for table in (owner._parameters, owner._buffers) for key in table}
    unknown = next((name for name in given if name not in owners), None)
    if unknown is not None:
        raise ArgumentError(f"functional_call: the module has no parameter or buffer {unknown!r}")
    tied: dict[int, list[str]] = {}
    for name, (table, key) in owners.items():
        if table[key] is not None:
            tied.setdefault(id(table[key]), []).append(name)
    places = {other: value for name, value in given.items() for other in (tied.get(id(owners[name][0][owners[name][1]]), [name]) if tie_weights else [name])}
    missing = [name for name, (table, key) in owners.items() if name not in places and table[key] is not None]
    if strict and missing:
        raise ArgumentError(f"functional_call: strict, but {missing[:5]} of the module are not given")
    places.update(given)
    former = [(table, key, table[key]) for table, key in (owners[name] for name in places)]
    try:
        for name, value in places.items():
            owners[name][0][owners[name][1]] = value
        return module(*(args if isinstance(args, tuple) else () if args is None else (args,)), **(kwargs or {}))
    finally:
        for table, key, value in reversed(former):
            table[key] = value


def _stacked(results: list[Any], dims: Any) -> Any:
    first = results[0]
    if isinstance(first, (tuple, list)):
        each = dims if isinstance(dims, (tuple, list)) else [dims] * len(first)
        if len(each) != len(first):
            raise ArgumentError(f"vmap: out_dims has {len(each)} entries for {len(first)} results")
        return type(first)(_stacked([r[k] for r in results], each[k]) for k in range(len(first)))
    if isinstance(first, dict):
        return {k: _stacked([r[k] for r in results], dims[k] if isinstance(dims, dict) else dims) for k in first}
    if not isinstance(first, Tensor):
        raise TypeError(f"vmap(): func must return Tensors or nests of them, not {type(first).__name__}")
    return first if dims is None else FUNCTIONS["stack"](results, dims)


def _mapped(number: int, tree: Any, dims: Any) -> list[tuple[Any, int | None]]:
    """The leaves of an argument, each with the dim that is mapped, or None."""
    if isinstance(dims, (tuple, list)) and isinstance(tree, (tuple, list)) and len(dims) == len(tree):
        return [pair for part, d in zip(tree, dims, strict=True) for pair in _mapped(number, part, d)]
    if isinstance(dims, Mapping) and isinstance(tree, Mapping) and dims.keys() == tree.keys():
        return [pair for k, part in tree.items() for pair in _mapped(number, part, dims[k])]
    leaves = _leaves(tree)
    for a in leaves:
        if dims is not None and (not isinstance(a, Tensor) or not isinstance(dims, int) or not -a.ndim <= dims < a.ndim):
            got = f"shape {tuple(a.shape)}" if isinstance(a, Tensor) else f"type {type(a).__name__}"
            raise ArgumentError(f"vmap: in_dims is {dims} for argument {number}, of {got}; give a dim of a tensor, or None for the whole argument")
    return [(a, dims) for a in leaves]


def _drawn(call: Callable[[int], Any], count: int, randomness: str) -> list[Any]:
    """The results of the calls, by vmap's rule for what they draw."""
    if randomness == "different":
        return [call(i) for i in range(count)]
    start, results = default_generator.get_state(), []
    for i in range(count):
        default_generator.set_state(start)  # nothing new after a call that drew nothing
        results.append(call(i))
        if randomness == "error" and default_generator.get_state().tolist() != start.tolist():
            raise RuntimeError("vmap: called random operation while in randomness error mode; pass randomness='same' or 'different', or draw before the call")
    return results


def vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "different", *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """`func` for every slice of its arguments along `in_dims` (None: the whole argument), results stacked along `out_dims`.

    Arguments and results are tensors or nests of them. One call of `func` a slice: the meaning of a batch dimension, not its speed; so
    `chunk_size` changes nothing. What is drawn inside from the default generator is "different" or the "same" for the slices, or an "error".

    >>> al.func.vmap(al.dot)(al.ones(3, 2), al.ones(3, 2))
    tensor([2., 2., 2.])
    """
    if randomness not in ("error", "different", "same"):
        raise ArgumentError(f"vmap: randomness must be 'error', 'different' or 'same', got {randomness!r}")

    def run(*args: Any, **kwargs: Any) -> Any:
        dims = tuple(in_dims) if isinstance(in_dims, (tuple, list)) else (in_dims,) * len(args)
        if len(dims) != len(args):
            raise ArgumentError(f"vmap: in_dims has {len(dims)} entries for {len(args)} arguments")
        leaves = [pair for number, (a, d) in enumerate(zip(args, dims, strict=True)) for pair in _mapped(number, a, d)]
        sizes = {a.shape[d] for a, d in leaves if d is not None}
        if len(sizes) != 1:
            raise ArgumentError(f"vmap: expected all mapped dims to have one size, got {sorted(sizes)}" if sizes else "vmap: no argument is mapped")

        def one(i: int) -> Any:
            return func(*_rebuilt(args, (a if d is None else a.select(d, i) for a, d in leaves)), **kwargs)

        results = _drawn(one, sizes.pop(), randomness)
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
