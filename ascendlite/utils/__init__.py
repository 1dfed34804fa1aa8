"""Names of `torch.utils` that people look for: `utils.checkpoint`, `utils.data`."""
