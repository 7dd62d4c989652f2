"""SampleRNN as an instrument.

    model = sopilib.load("tabla")                    # a name under models/, or a file, any SampleRNN's
    engine = sopilib.Engine(model, precision="int8")
    engine.reset(seed=1)
    audio = model.decode(engine.generate(model.config.sample_rate, temperature=0.95))[0]

`Model` and `Config` say what a model is, `Engine` runs it, `sopilib.live.Performer` plays it. Errors that the user can
mend are `SopiError`. Importing sopilib loads numpy and safetensors and nothing else that is large.
`__version__` is the version of the package, and the only place where it stands.
"""

try:
    import numpy as _numpy  # noqa: F401
except ImportError as e:
    import os as _os

    _path = _os.environ.get("PYTHONPATH")
    _advice = f"PYTHONPATH is {_path}: unset it if that is of another Python" if _path else "install sopilib again"
    raise ImportError(f"sopilib finds no numpy that it can use ({e}); {_advice}") from None

from sopilib.checkpoint import load
from sopilib.engine import Engine
from sopilib.errors import SopiError, SopiWarning
from sopilib.model import Config, Model

__version__ = "0.2.0"

__all__ = ["Config", "Engine", "Model", "SopiError", "SopiWarning", "__version__", "load"]
