"""What a model is: its config, its quantiser, its canonical weights, and the exact folds of them. This room knows no
torch."""

from sopilib.model.config import Config
from sopilib.model.weights import Model, Stillness, frame_table, shapes

__all__ = ["Config", "Model", "Stillness", "frame_table", "shapes"]
