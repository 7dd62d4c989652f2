import sys

from sopilib.cli import main

sys.exit(main())
