from sopilib.errors import SopiError
from sopilib.model import Config, Model
