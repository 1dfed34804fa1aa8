"""The emulated Ascend device: chips, kernel language, checker, executor and clock."""
