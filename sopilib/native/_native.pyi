# Checked where it is used: sopilib.engine and sopilib.live say what each part takes.
from typing import Any

def __getattr__(name: str) -> Any: ...
