"""The op table, one file a family. Importing a family registers its ops, functions and methods."""

from ascendlite.ops import (  # noqa: F401
    create,
    draw,
    fill,
    index,
    index_write,
    movement,
    nonzero,
    random,
    repeat,
    scatter,
    search,
    sort,
    triangle,
    turning,
    unique,
)
