"""`ascendlite.data` under torch's name, for `from ascendlite.utils.data import DataLoader`."""

import importlib
import sys

# The module itself, so that both names are one; by name, because `data` is a layer above this one.
sys.modules[__name__] = importlib.import_module("ascendlite.data")
