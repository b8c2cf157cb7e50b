"""How do settings become flags, and flags a configuration again? Each flag from the fields of `Config`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from minnet.runs.config import FIELDS, Config, Kind, Several, Switch, flag


def of_group(group: str) -> tuple[str, ...]:
    """List the settings of a group."""
    return tuple(name for name, each in FIELDS.items() if each.metadata["group"] == group and name != "dataset")


DATA, NETWORK, TRAINING = map(of_group, ("data of your own", "network", "training"))
WHERE = "one of `minnet datasets`, openml:<name or number>, or a file: .csv, .tsv, .parquet, .npz, x.npy,y.npy"


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line, and notes only what was typed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(argument_default=argparse.SUPPRESS, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with exit code 2."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)\n")


def typed(kind: Kind) -> Callable[[str], Any]:
    """Make an argument type of a kind."""

    def parse(text: str) -> Any:
        try:
            return kind.check("", kind.parse(text))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from None

    return parse


def add_option(group: Any, name: str, kind: Kind, text: str, default: Any = None) -> None:
    """Add a flag of a kind; its default is only stated."""
    stated = "" if default is None or default is False or default == () else f" (default: {kind.write(default)})"
    more: dict[str, Any] = {"action": "store_true"}
    if not isinstance(kind, Switch):
        more = {"type": typed(kind), "metavar": kind.metavar}
    group.add_argument(flag(name), dest=name, help=f"{text}{stated}".replace("%", "%%"), **more)


def add_dataset(parser: Parser, required: bool = True) -> None:
    """Add the data set, which has no flag."""
    kind = typed(FIELDS["dataset"].metadata["kind"])
    more: dict[str, Any] = {} if required else {"nargs": "?", "default": None}  # argparse would check SUPPRESS as typed
    parser.add_argument("dataset", metavar="DATASET", type=kind, help=WHERE, **more)


def add_settings(parser: Parser, names: Iterable[str], stacks: bool = False, **defaults: Any) -> None:
    """Add the flags of settings, in their groups; for ``stacks``, several values of what one varies."""
    groups: dict[str, Any] = {}
    for name in names:
        each = FIELDS[name].metadata
        group = groups.get(each["group"]) or groups.setdefault(each["group"], parser.add_argument_group(each["group"]))
        many = stacks and each["stacks"] and name != "seed"
        kind, text = each["kind"], each["help"]
        default = defaults.get(name, FIELDS[name].default)
        if not many:
            add_option(group, name, kind, text, default)
            continue
        stated = "" if default is None else f" (default: {kind.write(default)})"
        options: dict[str, Any] = {"type": typed(Several(kind)), "metavar": Several(kind).metavar}
        group.add_argument(flag(name), dest=name, help=f"{text}; several at once{stated}", **options)


def given(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what was typed into settings of a run, by name, and the command's own options."""
    typed_in = vars(arguments)
    settings = {name: value for name, value in typed_in.items() if name in FIELDS and value is not None}
    return settings, {name: value for name, value in typed_in.items() if name not in FIELDS}


def several(settings: Mapping[str, Any], seeds: int = 1) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    """Part settings that have one value from those that several networks have each, seeds from the seed on included."""
    plain, values = dict(settings), dict[str, tuple[Any, ...]]()
    for name, value in settings.items():
        if isinstance(value, tuple) and not isinstance(FIELDS[name].metadata["kind"], Several):
            plain[name] = value[0] if value else FIELDS[name].default
            values[name] = tuple(dict.fromkeys(value))
    seed = plain.get("seed", 0)
    values["seed"] = tuple(range(seed, seed + seeds))
    return plain, {name: each for name, each in values.items() if len(each) > 1}


def configure(
    settings: Mapping[str, Any], parser: argparse.ArgumentParser, seeds: int = 1
) -> tuple[Config, dict[str, tuple[Any, ...]]]:
    """Make a configuration of what was typed, and the values of what several networks have each.

    It leaves with exit code 2 if a setting would do nothing.
    """
    plain, values = several(settings, seeds)
    config = Config(**plain)
    useless = config.useless()
    if useless:
        parser.error(useless)
    if config.nesterov and 0 in values.get("momentum", ()):
        parser.error("--nesterov goes with --optimizer sgd and --momentum above 0")
    return config, values
