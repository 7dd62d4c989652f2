"""python osc_flood.py PORT SECONDS RATE ADDRESS...: so many messages a second to 127.0.0.1, addresses in turn, with
a number that goes up and down. Prints how many were sent."""

import math
import socket
import sys
import time

from sopilib.osc.packet import encode


def main() -> None:
    port, seconds, rate, *addresses = sys.argv[1:]
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    packets = [encode(a, 0.9 + 0.2 * math.sin(i * 0.1)) for i in range(64) for a in addresses]
    begin, sent = time.monotonic(), 0
    while (now := time.monotonic() - begin) < float(seconds):
        while sent < now * float(rate):
            out.sendto(packets[sent % len(packets)], ("127.0.0.1", int(port)))
            sent += 1
        time.sleep(0.0005)
    print(sent)


if __name__ == "__main__":
    main()
