"""`torch.nn.modules` by its parts, for programs that name them: `nn.modules.batchnorm._BatchNorm`, `from ascendlite.nn.modules.loss import _Loss`."""

from __future__ import annotations

import importlib
import sys

# torch's part -> our module
PARTS: dict[str, str] = {
    **{name: name for name in (
        "activation", "batchnorm", "container", "conv", "dropout", "linear", "loss", "module", "normalization", "padding", "pooling", "rnn",
        "sparse", "transformer",
    )},
    "instancenorm": "batchnorm", **dict.fromkeys(("flatten", "fold", "pixelshuffle", "upsampling"), "shape"),
}  # fmt: skip

__path__: list[str] = []  # a package to the import system, whose parts are the modules of `nn` themselves
for _name, _ours in PARTS.items():
    sys.modules[f"{__name__}.{_name}"] = globals()[_name] = importlib.import_module(f"ascendlite.nn.{_ours}")
