"""Playing a model: `Performer` takes messages and gives sound. Knows no Pd and no OSC.

    performer = Performer(status=print)
    performer.handle("load", "tabla")
    performer.handle("generate")
    performer.handle("temperature", 0.9, 500)       # a ramp of 500 ms

The sound goes through a ring (`performer.ring`) that a native thread fills; hosts without our external call
`performer.read(n)`. `commands.COMMANDS` is the table of all messages, `commands.STATUS` of all answers.
"""

from sopilib.live.commands import COMMANDS, KEPT, MOST_VOICES, STATUS
from sopilib.live.performer import Performer

__all__ = ["COMMANDS", "KEPT", "MOST_VOICES", "STATUS", "Performer"]
