"""Where performers are heard without Pd: a sound card, a sound file, or nowhere. In none of them does Python touch the
sound: a native callback takes it from the performers' rings and adds it up.

Each host has `rate` (Hz), `name` (what it is called in a line of text) and `close()`, and raises SopiError if it can't
begin.
"""

from sopilib.hosts.card import CardHost
from sopilib.hosts.clock import ClockHost
from sopilib.hosts.file import FileHost

__all__ = ["CardHost", "ClockHost", "FileHost"]
