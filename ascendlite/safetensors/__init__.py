"""safetensors files: whole, lazily by tensor or slice, and sharded behind an index.json.

The `safetensors` library lays out bytes and checks headers. Nothing in a file is ever run.
"""

from .read import load, load_file, safe_open
from .shards import save_sharded
from .write import save, save_file

__all__ = ["load", "load_file", "safe_open", "save", "save_file", "save_sharded"]
