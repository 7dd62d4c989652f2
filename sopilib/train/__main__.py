import sys

from sopilib.train.loop import main

sys.exit(main())
