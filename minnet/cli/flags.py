"""How do settings become flags, and flags a configuration again? Each flag from the fields of `Config`."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from minnet.runs.config import FIELDS, GROUPS, SWITCH, VARIED, Kind, flag, integer, several

DATA, NETWORK, TRAINING = (
    [name for name, each in FIELDS.items() if each.metadata["group"] == group] for group in GROUPS
)

UNTYPED = object()  # of an argument that is not there, since None is what ``none`` means
Report = tuple[int, list[str], Any]  # of a command: exit code, lines, the same as data


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with exit code 2."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)\n")


class Argument(NamedTuple):
    """What a command takes: by its place, with ? or + behind its name as argparse has them, or as a ``--flag``."""

    name: str
    kind: Kind
    help: str
    default: Any = None  # only stated
    group: str = "command"


Commands = dict[Callable[..., Report], Sequence[Argument | str]]
STACK = Argument("--seeds", integer(most=100_000), "N networks at once, with seeds from --seed on", 1)
JSON = Argument("--json", SWITCH, "print the results as one JSON object, and nothing else")
SETTINGS = {
    name: Argument(name if name == "dataset" else flag(name), default=each.default, **each.metadata)
    for name, each in FIELDS.items()
}


def read(kind: Kind, text: str) -> Any:
    """Read and check what was typed."""
    try:
        return kind.check("", kind.parse(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from None


def add_command(commands: Any, run: Callable[..., Report], arguments: Sequence[Argument | str]) -> None:
    """Add a command.

    Parameters
    ----------
    run : callable
        Does it, and has its name; its docstring says what it does.
    arguments : sequence of Argument or str
        What it takes; a str is the name of a setting of a run. With ``STACK`` what a stack can vary has several values.
    """
    about = (run.__doc__ or "").partition("\n")[0]
    parser = commands.add_parser(
        run.__name__, help=about, description=about, allow_abbrev=False, argument_default=UNTYPED
    )
    parser.set_defaults(command=run, parser=parser)
    groups: dict[str, Any] = {}
    for each in arguments:
        name, kind, text, default, group = SETTINGS[each] if isinstance(each, str) else each
        place, plain = parser, name.rstrip("?+")
        if name.startswith("--"):
            place = groups[group] = groups.get(group) or parser.add_argument_group(group)
            if kind is not SWITCH and default not in (None, ()):
                text += f" (default: {kind.write(default)})"
        if each in VARIED and each not in ("seed", "fold") and STACK in arguments:
            kind, text = several(kind), f"{text}; several at once"
        metavar = plain.upper() if place is parser else kind.metavar
        more: dict[str, Any] = {"type": partial(read, kind), "metavar": metavar, "nargs": name[len(plain) :] or None}
        if kind is SWITCH:
            more = {"action": "store_true"}
        place.add_argument(plain, help=text.replace("%", "%%"), **more)


def parted(settings: Mapping[str, Any], seeds: int) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    """Part settings that have one value from those that several networks have each, seeds from the seed on included."""
    plain = dict(settings)
    values = {name: tuple(dict.fromkeys(plain.pop(name))) for name in VARIED if isinstance(plain.get(name), tuple)}
    plain |= {name: each[0] for name, each in values.items() if each}
    seed = plain.get("seed", 0)
    values["seed"] = tuple(range(seed, seed + seeds))
    return plain, {name: each for name, each in values.items() if len(each) > 1}


def writable(what: str, value: str) -> Path:
    """Return the name of a file to write as a path, or raise an OSError now, before any work is done for it."""
    out = Path(value)
    if out.is_dir() or not out.parent.is_dir():
        raise OSError(f"cannot write {out}: expected the name of a file, in a folder that is there")
    return out


OUTPUT = Kind("PATH", writable)
