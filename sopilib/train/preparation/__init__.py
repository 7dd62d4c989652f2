"""The steps from recordings to a data set, which `sopilib.train.prepare` does one after the other."""
