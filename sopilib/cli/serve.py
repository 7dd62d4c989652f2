"""`sopi serve`: the instrument without Pd, played by OSC and from a page in any browser."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from sopilib import library
from sopilib.errors import SopiError
from sopilib.hosts import CardHost, ClockHost, FileHost
from sopilib.live import Performer
from sopilib.osc import Instances, Invitation, Server, kept_token
from sopilib.osc.port import LOOPBACKS
from sopilib.threads import real_time_priority, thread_count


def threads_option(text: str) -> int | None:
    """The value of --threads."""
    try:
        return thread_count(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, expected auto or 1 to 64") from None


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi serve`."""
    parser = commands.add_parser("serve", help="play models by OSC and from a phone, without Pd")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a name under models/, or a file; one instance each")
    parser.add_argument("--osc", type=int, default=9000, metavar="PORT", help="UDP port; default %(default)s")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address at which the port is open: 127.0.0.1, this machine only, is the default; 0.0.0.0, every network",
    )
    parser.add_argument(
        "--oscquery",
        type=int,
        metavar="PORT",
        help="TCP port at which controllers find out; 0: none; default: as --osc",
    )
    parser.add_argument(
        "--web",
        nargs="?",
        type=int,
        const=0,
        metavar="PORT",
        help="a page that plays it, for any phone or browser, at this TCP port; default: OSCQuery's",
    )
    parser.add_argument("--web-host", metavar="HOST", help="address at which the page is open; default: as --host")
    parser.add_argument(
        "--new-token", action="store_true", help="give the page another address, so that nobody's old one opens it"
    )
    parser.add_argument(
        "--name", action="append", default=[], help="of an instance, in the order of the models; else only its number"
    )
    parser.add_argument(
        "--audio",
        nargs="+",
        default=["device"],
        metavar=("WHERE", "NAME"),
        help="device [number or part of a name], file OUT.wav (a new one), or none; default: device",
    )
    parser.add_argument("--rate", type=float, help="Hz; default: what the sound card likes, else 48000")
    parser.add_argument("--channels", type=int, default=2, help="of the output; default %(default)s")
    parser.add_argument("--block", type=int, default=0, help="frames at once; default: what the sound card likes")
    parser.add_argument("--latency", type=float, default=20, help="ms from a message to its sound; default %(default)s")
    parser.add_argument(
        "--threads",
        type=threads_option,
        default=1,
        metavar="N|auto",
        help="of each instance; auto: more than one only where that is too slow; default %(default)s",
    )
    parser.add_argument("--generate", action="store_true", help="start the sound at once")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Plays until it is interrupted. Raises SopiError for what cannot be served."""
    if len(args.name) > len(args.models):
        raise SopiError(f"{len(args.name)} names for {len(args.models)} models, expected at most one each")
    if not 2 <= args.latency <= 500:
        raise SopiError(f"--latency is {args.latency:g}, expected 2 to 500 ms")
    query, token = page_wanted(args)
    for model in args.models:
        library.find(model)
    instances = Instances()
    with ExitStack() as stack:
        performers = []
        with real_time_priority():
            for i in range(len(args.models)):
                label = args.name[i] if i < len(args.name) else ""
                shown = label or str(i + 1)
                performer = Performer(
                    shown, args.rate or 48000.0, args.latency / 1000, threads=args.threads, status=printer(shown)
                )
                stack.callback(performer.close)
                performers.append(performer)
                instances.add(performer, label)
            output = open_output(args, performers)
        stack.callback(output.close)
        server = Server(
            instances,
            args.osc,
            args.host,
            lambda line: say(line, sys.stderr),
            query,
            page=token,
            page_host=args.web_host,
            announce=True,
        )
        stack.callback(server.close)
        say(f"OSC at {args.host} port {server.port}, sound at {output.rate:g} Hz to {output.name}; Ctrl-C ends it")
        if server.web is not None and server.web.invitation is not None:
            invite(server.web.invitation, server.host)
        for instance, model in zip(instances.all, args.models):
            instance.performer.handle("load", model)
            if args.generate:
                instance.performer.handle("generate")
            say(f"  {model}: {' or '.join(f'/samplernn/{label}' for label in instance.labels)}")
        wait_for_the_end()


def page_wanted(args: argparse.Namespace) -> tuple[int | None, str | None]:
    """The TCP port of OSCQuery and the page, and the page's token, both as `Server` has them. Raises SopiError."""
    if args.web is None:
        if args.web_host is not None or args.new_token:
            raise SopiError(f"{'--web-host' if args.web_host else '--new-token'} is for the page, expected --web too")
        return args.oscquery, None
    if not 0 <= args.web < 65536:
        raise SopiError(f"--web is {args.web}, expected a port from 1024 to 65535")
    if args.web and args.oscquery is not None and args.oscquery != args.web:
        raise SopiError(f"--web {args.web} --oscquery {args.oscquery}: one server has both, expected the same port")
    if not args.web and args.oscquery == 0:
        raise SopiError("--oscquery 0: it is the page's server too, expected --web PORT")
    return args.web or args.oscquery, kept_token(args.new_token)


def invite(invitation: Invitation, osc_host: str) -> None:
    """Prints where the page is, with a code for a phone's camera if a terminal reads it."""
    say(f"The page that plays it: {invitation.url}")
    if invitation.there:
        if sys.stdout.isatty():
            say(invitation.for_terminal())
        say("  Who knows this address can play; give it to nobody else.")
    else:
        say("  It is for this machine only; for a phone in your network: --web --web-host 0.0.0.0")
    if osc_host not in LOOPBACKS:
        say("  OSC at a network address has no token: everybody in that network can play by OSC.")


def wait_for_the_end() -> None:
    """Until Ctrl-C, or until somebody ends the process."""
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    ended.wait()
    for number, handler in before.items():
        signal.signal(number, handler)


def open_output(args: argparse.Namespace, performers: list[Performer]) -> CardHost | ClockHost:
    """The host that --audio names. Raises SopiError if it can't be had."""
    where, *name = args.audio
    if not 1 <= args.channels <= 64:
        raise SopiError(f"--channels is {args.channels}, expected 1 to 64")
    if args.rate is not None and not 8000 <= args.rate <= 384000:
        raise SopiError(f"--rate is {args.rate:g}, expected 8000 to 384000 Hz")
    if where == "none" and not name:
        return ClockHost(performers, args.rate, args.channels)
    if where == "file" and len(name) == 1:
        return FileHost(performers, args.rate, args.channels, Path(name[0]), lambda line: tell_all(performers, line))
    if where == "device" and len(name) <= 1:
        device = None if not name else int(name[0]) if name[0].isdigit() else name[0]
        return CardHost(performers, args.rate, args.channels, device, args.block)
    raise SopiError(f"--audio {' '.join(args.audio)}: expected device, device NAME, file OUT.wav or none")


def tell_all(performers: list[Performer], line: str) -> None:
    """An error of what they play to: each of them prints and tells it."""
    for performer in performers:
        performer.teller.tell("error", line)


def say(line: str, to: TextIO | None = None) -> None:
    """Prints a line whole: `print` writes its end by itself, and what another thread says could come between."""
    print(f"{line}\n", end="", file=to, flush=True)


def printer(shown: str) -> Callable[..., None]:
    """Prints what happens to an instance, but not what changes all the time."""
    last: dict[str, Any] = {}

    def status(kind: str, *values: Any) -> None:
        if kind in ("error", "warning", "loaded") or (kind == "underruns" and values != last.get(kind, (0,))):
            say(f"{shown}: {kind} {' '.join(map(str, values))}")
        last[kind] = values

    return status
