"""OSC: `Server` takes messages from a UDP port to the performers in `Instances` and tells them what changes.

instances = Instances()
instances.add(performer, "left")
server = Server(instances, 9000)                # /samplernn/left/temperature 0.9, or /samplernn/1/temperature 0.9
"""

from sopilib.osc.instances import Instance, Instances
from sopilib.osc.invitation import Invitation, kept_token
from sopilib.osc.server import PageServer, Server

__all__ = ["Instance", "Instances", "Invitation", "PageServer", "Server", "kept_token"]
