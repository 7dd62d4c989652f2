"""SampleRNN as an instrument.

    model = sopilib.load("tabla")                    # a name under models/, or a file, any SampleRNN's
    engine = sopilib.Engine(model, precision="int8")
    engine.reset(seed=1)
    audio = model.decode(engine.generate(model.config.sample_rate, temperature=0.95))[0]

`Model` and `Config` say what a model is, `Engine` runs it, `sopilib.live.Performer` plays it.
"""

from sopilib.checkpoint import load
from sopilib.engine import Engine
from sopilib.errors import SopiError, SopiWarning
from sopilib.model import Config, Model

__all__ = ["Config", "Engine", "Model", "SopiError", "SopiWarning", "load"]
