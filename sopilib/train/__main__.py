"""`python -m sopilib.train` is `sopi train`, for torchrun."""

from sopilib.cli.train import main

raise SystemExit(main())
