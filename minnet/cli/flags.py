"""How do settings become flags, and flags a configuration again? Each flag from the fields of `Config`."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from minnet.runs.config import FIELDS, GROUPS, SWITCH, Config, Kind, flag, several

DATA, NETWORK, TRAINING = (
    [name for name, each in FIELDS.items() if each.metadata["group"] == group] for group in GROUPS
)


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


def flags_of(settings: Iterable[str], stacks: bool = False) -> list[Argument]:
    """Make flags of settings of a run; with ``stacks`` they take several values of what a stack can vary."""
    arguments = []
    for name in settings:
        each = FIELDS[name].metadata
        kind, text, default = each["kind"], each["help"], FIELDS[name].default
        if stacks and each["stacks"] and name != "seed":
            kind, text, default = several(kind), f"{text}; several at once", default if default is None else (default,)
        arguments.append(Argument(flag(name), kind, text, default, each["group"]))
    return arguments


def read(kind: Kind, text: str) -> Any:
    """Read and check what was typed."""
    try:
        return kind.check("", kind.parse(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from None


def add_command(commands: Any, run: Callable[..., Report], *arguments: Argument) -> None:
    """Add a command that has the name of what does it; whose docstring says what that is."""
    about = (run.__doc__ or "").partition("\n")[0]
    brief = about.partition(":")[0].rstrip(".")
    parser = commands.add_parser(run.__name__, help=brief[0].lower() + brief[1:], description=about, allow_abbrev=False)
    parser.set_defaults(command=run, parser=parser)
    groups: dict[str, Any] = {}
    for name, kind, text, default, group in arguments:
        place, plain = parser, name.rstrip("?+")
        more: dict[str, Any] = {"type": partial(read, kind), "metavar": kind.metavar}
        if kind is SWITCH:
            more = {"action": "store_true", "default": None}
        elif default not in (None, ()):
            text += f" (default: {kind.write(default)})"
        if plain.startswith("--"):
            place = groups[group] = groups.get(group) or parser.add_argument_group(group)
        else:
            more |= {"metavar": plain.upper(), "nargs": name[len(plain) :] or None}
        place.add_argument(plain, help=text.replace("%", "%%"), **more)


def parted(settings: Mapping[str, Any], seeds: int = 1) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    """Part settings that have one value from those that several networks have each, seeds from the seed on included."""
    varied = {name: value for name, value in settings.items() if FIELDS[name].metadata["stacks"]}
    values = {name: tuple(dict.fromkeys(value)) for name, value in varied.items() if isinstance(value, tuple)}
    plain = {**settings, **{name: (*value, FIELDS[name].default)[0] for name, value in values.items()}}
    seed = plain.get("seed", 0)
    values["seed"] = tuple(range(seed, seed + seeds))
    return plain, {name: each for name, each in values.items() if len(each) > 1}


def configure(settings: Mapping[str, Any], seeds: int = 1) -> tuple[Config, dict[str, tuple[Any, ...]]]:
    """Make a configuration of what was typed, and the values of what several networks have each.

    Raises
    ------
    WrongUsage
        If a setting would do nothing.
    """
    plain, values = parted(settings, seeds)
    config = Config(**plain)
    for momentum in values.get("momentum", [config.momentum]):  # with some, --nesterov would do nothing
        replace(config, momentum=momentum).check_together()
    return config, values


def writable(what: str, value: str) -> Path:
    """Return the name of a file to write as a path, or raise an OSError now, before any work is done for it."""
    out = Path(value)
    if not out.parent.is_dir():
        raise FileNotFoundError(f"cannot write {out}: there is no folder {out.parent}")
    if out.is_dir():
        raise IsADirectoryError(f"cannot write {out}: it is a folder, expected the name of a file")
    return out


OUTPUT = Kind("PATH", writable)
JSON = Argument("--json", SWITCH, "print the results as one JSON object, and nothing else")
