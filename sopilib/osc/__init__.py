"""OSC: `Server` takes messages from a UDP port to the performers in `Instances` and tells them what changes.

instances = Instances()
instances.add(performer, "left")
server = Server(instances, 9000)                # /samplernn/left/temperature 0.9, or /samplernn/1/temperature 0.9
"""

from sopilib.osc.instances import Instance, Instances
from sopilib.osc.server import Server

__all__ = ["Instance", "Instances", "Server"]
