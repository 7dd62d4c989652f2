"""Pages to listen with: sounds with player, picture and figures, in one HTML file that opens without a server.

`page` writes `takes.html` for the takes of a model, and `listen.html` for the previews of a training. What a browser
can't do with a file that lies beside a page decides how they are made: it may play such a sound, but not read it. So
pictures and figures are made here and lie in the page, and sounds are linked, or embedded to be sent with it.
"""

from sopilib.listen.page import Column, Sound, is_page, leave, page
from sopilib.listen.picture import Picture, draw

__all__ = ["Column", "Picture", "Sound", "draw", "is_page", "leave", "page"]
