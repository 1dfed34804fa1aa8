"""How tensors meet other libraries: NumPy, DLPack, einops, the array API standard, pickle and torch's files.

Importing it adds the protocols' methods to Tensor; of the other libraries only einops is imported, where it is installed.
"""

import contextlib

from . import array_api_protocol, dlpack, numpy, pickle

with contextlib.suppress(ImportError):
    from . import einops

__all__ = ["array_api_protocol", "dlpack", "einops", "numpy", "pickle"]
