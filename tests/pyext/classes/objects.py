"""Objects without rings, which do what the original pyext documents."""

import pyext


class witness(pyext._class):
    def _dsp(self):
        print("dsp is built")
        return False
