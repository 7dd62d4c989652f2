"""`python -m sopilib.cli` is `sopi`, for torchrun and where no scripts are installed."""

from sopilib.cli import main

raise SystemExit(main())
