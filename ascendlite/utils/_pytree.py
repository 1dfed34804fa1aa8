"""Nests of Python containers as a list of leaves and back, by torch's names; what is no container is a leaf, None too."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

PyTree = Any
Parts = tuple[list[Any], Any]


class NodeDef(NamedTuple):
    """How a kind of container is taken apart, into (children, context), and put together again."""

    flatten: Callable[[Any], Parts]
    unflatten: Callable[[Iterable[Any], Any], Any]


def _of_mapping(make: Callable[[Iterable[tuple[Any, Any]]], Any]) -> NodeDef:
    return NodeDef(lambda d: (list(d.values()), list(d)), lambda children, keys: make(zip(keys, children, strict=True)))


SUPPORTED_NODES: dict[type, NodeDef] = {
    list: NodeDef(lambda x: (x, None), lambda children, _: list(children)),
    tuple: NodeDef(lambda x: (list(x), None), lambda children, _: tuple(children)),
    dict: _of_mapping(dict),
    OrderedDict: _of_mapping(OrderedDict),
    defaultdict: NodeDef(
        lambda d: (list(d.values()), (d.default_factory, list(d))),
        lambda children, c: defaultdict(c[0], zip(c[1], children, strict=True)),
    ),
    deque: NodeDef(lambda x: (list(x), x.maxlen), lambda children, maxlen: deque(children, maxlen)),
}
_NAMED = NodeDef(lambda x: (list(x), type(x)), lambda children, kind: kind(*children))


def register_pytree_node(cls: type, flatten_fn: Callable[[Any], Parts], unflatten_fn: Callable[[Iterable[Any], Any], Any]) -> None:
    """Take instances of `cls` apart from now on: flatten_fn(x) -> (children, context), unflatten_fn(children, context) -> x."""
    if cls in SUPPORTED_NODES:
        raise ValueError(f"register_pytree_node: {cls} is registered already")
    SUPPORTED_NODES[cls] = NodeDef(flatten_fn, unflatten_fn)


@dataclass(frozen=True)
class TreeSpec:
    """The nest without its leaves; `node` is None for a leaf."""

    node: NodeDef | None
    type: type | None
    context: Any
    children_specs: tuple[TreeSpec, ...]

    @property
    def num_leaves(self) -> int:
        return 1 if self.node is None else sum(child.num_leaves for child in self.children_specs)

    def is_leaf(self) -> bool:
        return self.node is None

    def unflatten(self, leaves: Iterable[Any]) -> PyTree:
        """The nest with these leaves."""
        return tree_unflatten(leaves, self)


_LEAF = TreeSpec(None, None, None, ())


def _node(tree: PyTree, is_leaf: Callable[[Any], bool] | None) -> NodeDef | None:
    if is_leaf is not None and is_leaf(tree):
        return None
    kind = type(tree)
    if isinstance(tree, tuple) and hasattr(kind, "_fields"):
        return _NAMED
    return SUPPORTED_NODES.get(kind)


def tree_flatten(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves in order, and the nest to put others into.

    >>> leaves, spec = tree_flatten({"a": 1, "b": (2, [3, None])})
    >>> leaves, tree_unflatten("wxyz", spec)
    ([1, 2, 3, None], {'a': 'w', 'b': ('x', ['y', 'z'])})
    """
    node = _node(tree, is_leaf)
    if node is None:
        return [tree], _LEAF
    children, context = node.flatten(tree)
    parts = [tree_flatten(child, is_leaf) for child in children]
    return [leaf for leaves, _ in parts for leaf in leaves], TreeSpec(node, type(tree), context, tuple(spec for _, spec in parts))


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> PyTree:
    """The nest of `treespec` with these leaves."""
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(f"tree_unflatten: the nest has {treespec.num_leaves} leaves, and {len(leaves)} are given")
    return _filled(treespec, iter(leaves))


def _filled(spec: TreeSpec, leaves: Any) -> PyTree:
    if spec.node is None:
        return next(leaves)
    return spec.node.unflatten([_filled(child, leaves) for child in spec.children_specs], spec.context)


def tree_leaves(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves in order."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """The nest without its leaves."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> PyTree:
    """The nest of func(leaf, leaves of the other nests at its place)."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [_aligned(rest, spec) for rest in rests]
    return tree_unflatten([func(*each) for each in zip(leaves, *others, strict=True)], spec)


def _aligned(tree: PyTree, spec: TreeSpec) -> list[Any]:
    """What `tree` holds at the leaves of `spec`, nests included."""
    if spec.node is None:
        return [tree]
    if type(tree) is not spec.type:
        raise ValueError(f"tree_map: nests differ: {spec.type} in the first, {type(tree)} in another at its place")
    children, context = spec.node.flatten(tree)
    if len(children) != len(spec.children_specs) or (isinstance(tree, dict) and context != spec.context):
        raise ValueError(f"tree_map: nests differ: {len(spec.children_specs)} children ({spec.context}), and {len(children)} ({context})")
    return [leaf for child, below in zip(children, spec.children_specs, strict=True) for leaf in _aligned(child, below)]


def tree_map_(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> PyTree:
    """Call func for the leaves and give the nest back as it is."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_only(kind: Any, func: Callable[[Any], Any], tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> PyTree:
    """tree_map for leaves of a type (or of several); the others stay."""
    return tree_map(lambda leaf: func(leaf) if isinstance(leaf, kind) else leaf, tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether pred holds for every leaf."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether pred holds for a leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))
