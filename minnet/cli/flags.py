"""How do settings become flags, and flags a configuration again? Each flag from the fields of `Config`."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from minnet.runs.config import FIELDS, Config, Kind, Several, Switch, flag


def of_group(group: str) -> tuple[str, ...]:
    """List the settings of a group."""
    return tuple(name for name, each in FIELDS.items() if each.metadata["group"] == group and name != "dataset")


DATA, NETWORK, TRAINING = map(of_group, ("data of your own", "network", "training"))
DATASET = "one of `minnet datasets`, openml:<name or number>, or a file: .csv, .tsv, .parquet, .npz, x.npy,y.npy"


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


def add_flag(group: Any, name: str, kind: Kind, text: str, default: Any = None) -> None:
    """Add a flag of a kind; its default is only stated."""
    stated = "" if default is None or default is False or default == () else f" (default: {kind.write(default)})"
    more: dict[str, Any] = {"type": typed(kind), "metavar": kind.metavar}
    if isinstance(kind, Switch):
        more = {"action": "store_true"}
    group.add_argument(flag(name), dest=name, help=f"{text}{stated}".replace("%", "%%"), **more)


def add_command(
    commands: Any,
    run: Callable[..., int],
    positional: Mapping[str, str],
    settings: Iterable[str] = (),
    options: Iterable[tuple[Any, ...]] = (),
    stacks: bool = False,
    **defaults: Any,
) -> None:
    """Add a command.

    Parameters
    ----------
    run : callable
        Does it, and has its name; its docstring says what it does.
    positional : mapping of str to str
        What has no flag, with its help: "dataset" of a kind, all else as it is; "?" or "+" behind the name as argparse
        has them.
    settings : iterable of str
        The settings of a run that it takes; with ``stacks`` several values of what a stack can vary.
    options : iterable of tuple
        Its own options: name, kind, help, and a default to state.
    """
    about = (run.__doc__ or "").split("``: ")[1].split("\n")[0]
    parser = commands.add_parser(
        run.__name__, help=about.split(":")[0].rstrip("."), description=about[0].upper() + about[1:]
    )
    parser.set_defaults(command=run, parser=parser)
    for name, text in positional.items():
        plain = name.rstrip("?+")
        more: dict[str, Any] = {"type": typed(FIELDS[plain].metadata["kind"])} if plain in FIELDS else {}
        if name.endswith("?"):
            more["default"] = None  # argparse would check what is suppressed as if it were typed
        parser.add_argument(plain, metavar=plain.upper(), nargs=name[len(plain) :] or None, help=text, **more)
    groups: dict[str, Any] = {}
    for name in settings:
        each = FIELDS[name].metadata
        if each["group"] not in groups:
            groups[each["group"]] = parser.add_argument_group(each["group"])
        many = stacks and each["stacks"] and name != "seed"
        kind = Several(each["kind"]) if many else each["kind"]
        text = each["help"] + ("; several at once" if many else "")
        default = defaults.get(name, FIELDS[name].default)
        add_flag(groups[each["group"]], name, kind, text, (default,) if many and default is not None else default)
    own = parser.add_argument_group("command")
    for option in options:
        add_flag(own, *option)


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
