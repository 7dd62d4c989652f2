"""Config, quantisation, the canonical weights, and (in `network`, which needs torch) the module that is trained."""

from sopilib.model.config import Config
from sopilib.model.weights import Model, shapes

__all__ = ["Config", "Model", "shapes"]
