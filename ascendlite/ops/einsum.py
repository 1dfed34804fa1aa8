"""einsum: sums of products by subscripts, as a chain of batched matrix products from left to right."""

from __future__ import annotations

import math
from typing import Any

from ascendlite.core import Tensor, function
from ascendlite.errors import ArgumentError, ShapeError

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_Labels = tuple[str, ...]


def _from_sublists(args: tuple[Any, ...]) -> tuple[str, list[Tensor]]:
    """The other form of torch: operand, [0, 1], operand, [1, 2], [0, 2]."""

    def text(subscripts: Any) -> str:
        return "".join("..." if s is Ellipsis else _LETTERS[s] for s in subscripts)

    pairs = len(args) // 2
    equation = ",".join(text(args[2 * i + 1]) for i in range(pairs))
    if len(args) % 2:
        equation += "->" + text(args[-1])
    return equation, [args[2 * i] for i in range(pairs)]


def _split_ellipsis(term: str) -> tuple[str, str] | None:
    if "..." not in term:
        return None
    left, right = term.split("...", 1)
    return left, right


def _parse(equation: str, operands: list[Tensor]) -> tuple[list[_Labels], _Labels]:
    """The labels of each operand and of the result; dims under an ellipsis are labelled by their place from the right."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ArgumentError(f"einsum: '{equation}' has {len(terms)} operands, but {len(operands)} were given")
    labels = [_labels(term, operand, equation) for term, operand in zip(terms, operands, strict=True)]
    hidden = max((sum(x.isdigit() for x in term) for term in labels), default=0)
    dots = tuple(str(i) for i in range(hidden - 1, -1, -1))
    if not arrow:
        flat = [x for term in labels for x in term if not x.isdigit()]
        return labels, dots + tuple(x for x in sorted(set(flat)) if flat.count(x) == 1)
    parts = _split_ellipsis(right)
    result = tuple(right) if parts is None else (*parts[0], *dots, *parts[1])
    for x in result:
        if result.count(x) > 1:
            raise ArgumentError(f"einsum: output subscript {x} appears more than once in '{equation}'")
        if not any(x in term for term in labels):
            raise ArgumentError(
                f"einsum: output subscript {x} does not appear in any input operand of '{equation}'"
            )
    return labels, result


def _labels(term: str, operand: Tensor, equation: str) -> _Labels:
    parts = _split_ellipsis(term)
    named = term if parts is None else parts[0] + parts[1]
    if not all(x in _LETTERS for x in named):
        raise ArgumentError(f"einsum: invalid subscript in '{term}' of '{equation}'; subscripts are letters")
    hidden = operand.ndim - len(named)
    if hidden < 0 or (hidden and parts is None):
        raise ShapeError(
            f"einsum: '{term}' of '{equation}' names {len(named)} dims, but the operand has shape {tuple(operand.shape)}; name each, or use ..."
        )
    if parts is None:
        return tuple(term)
    return (*parts[0], *(str(i) for i in range(hidden - 1, -1, -1)), *parts[1])


def _diagonals(x: Tensor, labels: _Labels) -> tuple[Tensor, _Labels]:
    """Repeated labels take the diagonal."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise ShapeError(
                    f"einsum: subscript {label} is repeated, but its dims are {x.shape[i]} and {x.shape[j]}"
                )
            x = x.diagonal(0, i, j)  # the diagonal comes last
            labels = (*(v for k, v in enumerate(labels) if k not in (i, j)), label)
    return x, labels


def _check_sizes(operands: list[Tensor], labels: list[_Labels], equation: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for x, term in zip(operands, labels, strict=True):
        for label, size in zip(term, x.shape, strict=True):
            known = sizes.get(label, 1)
            if known != 1 and size not in (1, known):
                raise ShapeError(
                    f"einsum: subscript {label} of '{equation}' has size {size} here and {known} in an earlier operand"
                )
            sizes[label] = size if known == 1 else known
    return sizes


def _arrange(x: Tensor, labels: _Labels, wanted: _Labels) -> Tensor:
    order = [labels.index(label) for label in wanted]
    return x if order == list(range(len(order))) else x.permute(*order)


def _sum_away(x: Tensor, labels: _Labels, keep: set[str]) -> tuple[Tensor, _Labels]:
    gone = [i for i, label in enumerate(labels) if label not in keep]
    return (x.sum(gone), tuple(label for label in labels if label in keep)) if gone else (x, labels)


def _multiply(
    a: Tensor, la: _Labels, b: Tensor, lb: _Labels, keep: set[str], sizes: dict[str, int]
) -> tuple[Tensor, _Labels]:
    """One batched product of two operands: batch, rows, summed and columns are groups of labels."""
    a, la = _sum_away(a, la, keep | set(lb))
    b, lb = _sum_away(b, lb, keep | set(la))
    both = [x for x in la if x in lb]
    summed = tuple(x for x in both if x not in keep)
    batch = tuple(x for x in both if x in keep)
    rows, cols = tuple(x for x in la if x not in lb), tuple(x for x in lb if x not in la)
    result = (*batch, *rows, *cols)
    a, b = _arrange(a, la, (*batch, *rows, *summed)), _arrange(b, lb, (*batch, *summed, *cols))
    n = len(batch)
    if not summed:  # an outer product, elementwise over the batch
        y = a.reshape(*a.shape, *(1,) * len(cols)) * b.reshape(*b.shape[:n], *(1,) * len(rows), *b.shape[n:])
        return y, result
    a, b = (
        _widen(a, (*batch, *rows, *summed), summed, sizes),
        _widen(b, (*batch, *summed, *cols), summed, sizes),
    )
    k = math.prod(sizes[x] for x in summed)
    left = a.reshape(*a.shape[:n], math.prod(sizes[x] for x in rows), k)
    right = b.reshape(*b.shape[:n], k, math.prod(sizes[x] for x in cols))
    y = left @ right
    return y.reshape(*y.shape[:n], *(sizes[x] for x in rows), *(sizes[x] for x in cols)), result


def _widen(x: Tensor, labels: _Labels, summed: _Labels, sizes: dict[str, int]) -> Tensor:
    """Summed dims of size 1 that meet a larger one are repeated."""
    shape = [sizes[label] if label in summed else size for label, size in zip(labels, x.shape, strict=True)]
    return x if shape == list(x.shape) else x.expand(*shape)


@function()
def einsum(equation: str | Tensor, *operands: Any) -> Tensor:
    """Sums of products of the operands' elements, by Einstein's summation convention.

    >>> al.einsum("bij,bjk->bik", al.ones(2, 3, 4), al.ones(2, 4, 5)).shape
    (2, 3, 5)
    """
    if not isinstance(equation, str):
        equation, tensors = _from_sublists((equation, *operands))
    else:
        listed = len(operands) == 1 and isinstance(operands[0], (list, tuple))
        tensors = list(operands[0]) if listed else list(operands)
    if not tensors:
        raise ArgumentError("einsum: at least one operand is needed")
    labels, result = _parse(equation, tensors)
    pairs = [_diagonals(x, term) for x, term in zip(tensors, labels, strict=True)]
    tensors, labels = [p[0] for p in pairs], [p[1] for p in pairs]
    sizes = _check_sizes(tensors, labels, equation)
    x, named = tensors[0], labels[0]
    for i in range(1, len(tensors)):
        keep = set(result).union(*labels[i + 1 :])
        x, named = _multiply(x, named, tensors[i], labels[i], keep, sizes)
    x, named = _sum_away(x, named, set(result))
    return _arrange(x, named, result)
