"""OSC 1.0 packets (with the types of 1.1), read strictly and within bounds, and written.

A packet is a message or a bundle; bundles hold messages and bundles. Whatever breaks the format raises SopiError, so
that half a packet never takes effect; that, and 20,000 messages a second beside the sound, is why python-osc writes
packets here but doesn't read them. https://opensoundcontrol.stanford.edu/spec-1_0.html
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import Any, NamedTuple

from pythonosc.osc_message_builder import OscMessageBuilder

from sopilib.errors import SopiError
from sopilib.names import escaped, unescaped

__all__ = ["IMMEDIATELY", "LONGEST", "Message", "decode", "encode", "ntp_to_unix_ns", "unix_ns_to_ntp"]

LONGEST = 16384  # bytes of a packet
DEEPEST = 8  # bundles within bundles
LONGEST_ADDRESS = 255
MOST_ARGUMENTS = 64
LARGEST_FLOAT = (2 - 2**-23) * 2.0**127  # of 32 bits

IMMEDIATELY = 1
NTP_TO_UNIX = 2_208_988_800  # s from 1900 to 1970
BUNDLE = b"#bundle\0"

NUMBERS = {"i": "i", "f": "f", "h": "q", "d": "d", "t": "Q", "r": "I", "m": "I", "c": "I"}  # struct's letters
CONSTANTS = {"T": True, "F": False}
WITHOUT_VALUE = "NI"  # nil and impulse: something happened, no value


class Message(NamedTuple):
    """An OSC message."""

    time: int | None
    """NTP, 2^-32 s since 1900; None: at once."""
    address: str
    arguments: tuple[Any, ...]
    """int, float, bool or str, in which what `encode` has escaped is as it was."""


def decode(packet: bytes) -> list[Message]:
    """The messages of a packet, in their order. Raises SopiError, naming what is wrong, if any part of it breaks the
    format or has arguments that no message here takes, blobs and arrays among them."""
    if len(packet) > LONGEST:
        raise SopiError(f"a packet is longer than {LONGEST} bytes")
    messages: list[Message] = []
    _element(packet, 0, len(packet), None, 0, messages)
    return messages


def encode(address: str, *values: Any) -> bytes:
    """A message of ints, floats, bools and strings. A number is written with as many bits as it needs; what is no text
    in a string, as in some names of files, is escaped (`names.escaped`)."""
    builder = OscMessageBuilder(address)
    for value in values:
        if isinstance(value, float):
            builder.add_arg(value, "d" if LARGEST_FLOAT < abs(value) < math.inf else "f")
        elif isinstance(value, int) and -(2**63) <= value < 2**63:
            builder.add_arg(value)
        else:
            builder.add_arg(in_text(str(value)))
    return builder.build().dgram


def in_text(text: str) -> str:
    """What a string of OSC can hold of it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = escaped(text)
    return text.replace("\0", "")


def ntp_to_unix_ns(ntp: int) -> int:
    """An OSC timetag, in 2^-32 s since 1900, as ns since 1970."""
    return ((ntp - (NTP_TO_UNIX << 32)) * 1_000_000_000) >> 32


def unix_ns_to_ntp(ns: int) -> int:
    """ns since 1970 as an OSC timetag, in 2^-32 s since 1900."""
    return (NTP_TO_UNIX << 32) + ((ns << 32) + 500_000_000) // 1_000_000_000


def _element(packet: bytes, begin: int, end: int, time: int | None, depth: int, messages: list[Message]) -> None:
    if (end - begin) % 4 or begin == end:
        raise SopiError("a packet's length is no multiple of 4")
    if not packet.startswith(BUNDLE, begin):
        messages.append(_message(packet, begin, end, time))
        return
    if depth == DEEPEST:
        raise SopiError(f"bundles are nested more than {DEEPEST} deep")
    if end - begin < 16:
        raise SopiError("a bundle ends within its time")
    (ntp,) = struct.unpack_from(">Q", packet, begin + 8)
    time = None if ntp == IMMEDIATELY else ntp
    begin += 16
    while begin < end:
        (size,) = struct.unpack_from(">I", packet, begin)  # there are 4 bytes: all lengths are multiples of it
        begin += 4
        if size > end - begin:
            raise SopiError("an element of a bundle is longer than the bundle")
        _element(packet, begin, begin + size, time, depth + 1, messages)
        begin += size


def _message(packet: bytes, begin: int, end: int, time: int | None) -> Message:
    if packet[begin] != 0x2F:  # /
        raise SopiError("a packet begins neither with / nor with #bundle")
    address, at = _string(packet, begin, end, "ascii")
    if len(address) > LONGEST_ADDRESS or not address.isprintable():
        raise SopiError(f"an address is longer than {LONGEST_ADDRESS} characters or can't be printed")
    if at == end:  # old senders leave the types out when there are no arguments
        return Message(time, address, ())
    tags, at = _string(packet, at, end, "ascii")
    if tags[:1] != ",":
        raise SopiError("a message has no types")
    if (layout := _layout(tags)) is not None:
        if layout.size != end - at:
            raise SopiError("a message's length is not that of its types")
        return Message(time, address, layout.unpack_from(packet, at))
    if len(tags) - 1 > MOST_ARGUMENTS:
        raise SopiError(f"a message has more than {MOST_ARGUMENTS} arguments")
    arguments: list[Any] = []
    for tag in tags[1:]:
        if tag in NUMBERS:
            letter = ">" + NUMBERS[tag]
            size = struct.calcsize(letter)
            if size > end - at:
                raise SopiError("a message ends before its arguments")
            arguments.append(*struct.unpack_from(letter, packet, at))
            at += size
        elif tag in "sS":
            text, at = _string(packet, at, end, "utf-8")
            arguments.append(unescaped(text))
        elif tag in CONSTANTS:
            arguments.append(CONSTANTS[tag])
        elif tag not in WITHOUT_VALUE:
            expected = "numbers, strings and booleans, no blobs or arrays"
            raise SopiError(f"a message has an argument of the type {tag!r}, expected {expected}")
    if at != end:
        raise SopiError("a message's length is not that of its types")
    return Message(time, address, tuple(arguments))


def _string(packet: bytes, begin: int, end: int, encoding: str) -> tuple[str, int]:
    """-> the string that begins there, and where what follows begins."""
    stop = packet.find(b"\0", begin, end)
    if stop < 0:
        raise SopiError("a string has no end")
    after = stop + 4 - (stop - begin) % 4
    try:
        return packet[begin:stop].decode(encoding), after
    except UnicodeDecodeError:
        raise SopiError(f"a string is not {encoding.upper()}") from None


@lru_cache(256)
def _layout(tags: str) -> struct.Struct | None:
    """How arguments lie that are all numbers; None if not all are, or there are too many."""
    if len(tags) - 1 > MOST_ARGUMENTS or not set(tags[1:]) <= NUMBERS.keys():
        return None
    return struct.Struct(">" + "".join(NUMBERS[tag] for tag in tags[1:]))
