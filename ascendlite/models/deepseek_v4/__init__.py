"""DeepSeek-V4: configs of the published sizes and of tiny ones, the model, its cache, and what training asks of it."""

from .cache import DeepseekV4Cache
from .config import CONFIGS, DeepseekV4Config, config_of
from .load import load_config, load_hf
from .model import DeepseekV4
from .objective import Losses, LossWeights, objective, update_biases
from .quantize import Quantization
from .save import save_hf
from .side import Side

__all__ = ["CONFIGS", "DeepseekV4", "DeepseekV4Cache", "DeepseekV4Config", "LossWeights", "Losses", "Quantization", "Side", "config_of", "load_config", "load_hf", "objective", "save_hf", "update_biases"]
