"""Objects with `_signal`."""

import pyext


class gain(pyext._class):
    """Signal in times 0.5, in Python."""

    def _dsp(self):
        self.same = self._invec(0) is self._outvec(0)
        print("vectors", self._invec(0).dtype, self._invec(0).shape)
        return True

    def _signal(self):
        self._outvec(0)[:] = self._invec(0) * 0.5


class faulty(pyext._class):
    """Works for 100 blocks, then raises."""

    _inlets = 1
    blocks = 0

    def _signal(self):
        self._outvec(0)[:] = 1
        self.blocks += 1
        if self.blocks > 100:
            raise ValueError("a fault")

    def _anything_1(self, *message):
        print("lives", message)


class bounds(pyext._class):
    def _dsp(self):
        for get in (self._invec, self._outvec):
            for i in (1, -1):
                try:
                    get(i)
                except IndexError as error:
                    print("IndexError", error)
        return False

    def _signal(self):
        print("never")


class outlet_in_signal(pyext._class):
    _outlets = 1
    sent = False

    def _signal(self):
        if not self.sent:
            self.sent = True
            self._outlet(1, "from", "signal")
            print("sent")
