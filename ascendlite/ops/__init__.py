"""The op table, one file a family. Importing a family registers its ops, functions and methods."""

from ascendlite.ops import (  # noqa: F401
    activation,
    aliases,
    arithmetic,
    compare,
    pointwise,
    rectifier,
    special,
)
