"""Options of a command from the fields of a dataclass, which know their types and helps."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, get_args, get_type_hints


def add(
    parser: Any,
    kind: type,
    helps: dict[str, str] | None = None,
    without: tuple[str, ...] = (),
    old: dict[str, tuple[str, ...]] | None = None,
) -> None:
    """Adds an option to a parser for every field of a dataclass that has a help. An option that isn't given is None.

    kind     the dataclass; a field's type is that of its option
    helps    by name, helps for fields that have none in their metadata under "help"
    without  names of fields that get no option
    old      by name, what older systems call the option
    """
    types = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        text = (helps or {}).get(field.name) or field.metadata.get("help")
        if text is None or field.name in without:
            continue
        flag, of = "--" + field.name.replace("_", "-"), types[field.name]
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        # with helps of its own a command has other defaults, too
        if not helps and default not in (None, "", [], False):
            shown = " ".join(map(str, default)) if isinstance(default, list) else default
            text += f"; default {shown}"
        text, also = text.replace("%", "%%"), (old or {}).get(field.name, ())
        element = next((a for a in get_args(of) if a is not type(None)), of)
        if element is bool:
            parser.add_argument(flag, *also, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            many = getattr(of, "__origin__", None) is list
            parser.add_argument(flag, *also, type=element, nargs="*" if many else None, default=None, help=text)


def given(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The values of the fields of the dataclass `kind` that were given as options, by name."""
    values = {f.name: getattr(args, f.name, None) for f in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if value is not None}
