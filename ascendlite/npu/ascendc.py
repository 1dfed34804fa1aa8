"""The kernel language under the name that kernels use: `import ascendlite.npu.ascendc as ac`."""

from ascendlite.npu.lang.ascendc import *  # noqa: F403
