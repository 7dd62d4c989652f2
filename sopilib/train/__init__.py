"""Training, which needs the `train` extra (torch): `python -m sopilib.train AUDIO... -o RUN`."""
