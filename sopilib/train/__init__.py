"""Training, which needs the `train` extra (PyTorch): from recordings to a model that plays.

prepare, preparation/   from recordings to a data set
features, coding        the curves that a model is played by; how sound becomes codes
settings                how to train, and presets
lanes, dropout          what each step hears, and what is left out of it
network/                the torch module
step                    one step of training
loop                    a run: step after step, with checkpoints
validation, checkpoints what one hears of a run, and how good it is
report, pictures        what one sees of it
listening               the page to hear it with
run_folder, state, live a run on disk: what it began with, all that is needed to go on, what may be changed
machine, parallel       what this machine can do, and several processes that train as one
tune                    a search for better options
publish                 from a finished run to a folder under models/
"""
