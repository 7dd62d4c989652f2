"""SampleRNN as an instrument.

    model = sopilib.load("tabla")                    # a name under models/, or a file, any SampleRNN's
    engine = sopilib.Engine(model, precision="int8")
    engine.reset(seed=1)
    audio = model.decode(engine.generate(model.config.sample_rate, temperature=0.95))[0]

`Model` and `Config` say what a model is, `Engine` runs it, `sopilib.live.Performer` plays it. Errors that the user can
mend are `SopiError`. Importing sopilib loads numpy and safetensors and nothing else that is large.
`__version__` is the version of the package, and the only place where it stands.
"""

from sopilib.needed import check as _check

_check()

from sopilib.checkpoint import load  # noqa: E402
from sopilib.engine import Engine  # noqa: E402
from sopilib.errors import SopiError, SopiWarning  # noqa: E402
from sopilib.model import Config, Model  # noqa: E402

__version__ = "0.2.0"

__all__ = ["Config", "Engine", "Model", "SopiError", "SopiWarning", "__version__", "load"]
