"""What is a run a function of? One configuration: every setting once, with its kind, from which all else follows.

A *kind* parses a flag, checks a value, writes it as a flag again, states what it expects, and can give an example of
what it refuses. Flags and their help, ``config.json``, what resuming compares, what `minnet tune` recommends and how
two runs differ all come from the fields below.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minnet.data.named import check_name
from minnet.data.tables import is_file_name
from minnet.history import MONITORS
from minnet.support import expect

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid")
NORMALIZATIONS = ("none", "batch", "layer")
USUAL_RATES = {"sgd": 0.05, "adam": 0.001}  # of the optimizers
SCHEDULES = ("constant", "step", "cosine", "plateau")
SEEDS = 2**32 - 1  # the largest seed that scikit-learn's splits take


class Kind:
    """Any text but an empty one."""

    metavar: Any = "TEXT"
    invalid: Any = ""

    def parse(self, text: str) -> Any:
        """Read a value from the command line; what makes no sense is left for `check` to refuse."""
        return text

    def check(self, what: str, value: Any) -> Any:
        """Return a value in the form that is used, or raise ValueError."""
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{what}: expected a name, got {value!r:.80}")
        return value

    def write(self, value: Any) -> str:
        """Write a value as `parse` reads it."""
        return str(value)


class Column(Kind):
    """The name of a column."""

    metavar = "COLUMN"


class PathName(Kind):
    """The name of a file or a folder."""

    metavar = "PATH"


class DatasetName(Kind):
    """The name of a data set, or of a file that holds one."""

    metavar = "DATASET"
    invalid = "irys"

    def check(self, what: str, value: Any) -> Any:
        """Return the name, or raise ValueError with those most like it."""
        name: str = super().check(what, value)
        if is_file_name(name):
            return name
        try:
            return check_name(name)
        except ValueError as error:
            raise ValueError(f"{what}: {error}, or a file: .csv, .parquet, .npz, x.npy,y.npy") from None


@dataclass(frozen=True)
class Integer(Kind):
    """An integer within bounds."""

    least: int = 1
    most: int | None = None
    metavar = "N"

    @property
    def invalid(self) -> Any:
        """One less than the least."""
        return self.least - 1

    def parse(self, text: str) -> Any:
        """Read an integer."""
        try:
            return int(text)
        except ValueError:
            return text

    def check(self, what: str, value: Any) -> Any:
        """Return an integer within bounds."""
        return expect.integer(what, value, self.least, self.most)


class Number(Kind):
    """A number within bounds, as `expect.number` takes them."""

    metavar = "X"
    invalid = math.nan

    def __init__(self, **bounds: float) -> None:
        self.bounds = bounds

    def parse(self, text: str) -> Any:
        """Read a number."""
        try:
            return float(text)
        except ValueError:
            return text

    def write(self, value: Any) -> str:
        """Write it as short as tells it apart."""
        return repr(value).removesuffix(".0")

    def check(self, what: str, value: Any) -> Any:
        """Return a number within bounds."""
        return expect.number(what, value, **self.bounds)


@dataclass(frozen=True)
class OneOf(Kind):
    """One of several words."""

    choices: Sequence[str]
    invalid = "none of them"

    @property
    def metavar(self) -> str:
        """List the words."""
        return "{" + ",".join(self.choices) + "}"

    def check(self, what: str, value: Any) -> Any:
        """Return one of the words."""
        return expect.one_of(what, value, self.choices)


@dataclass(frozen=True)
class Several(Kind):
    """Values with commas between them; ``none`` is none of them."""

    kind: Kind

    @property
    def metavar(self) -> str:
        """Show one, and that more may follow."""
        return f"{self.kind.metavar},…"

    @property
    def invalid(self) -> Any:
        """One that is invalid."""
        return (self.kind.invalid,)

    def parse(self, text: str) -> Any:
        """Read what stands between commas."""
        return () if text == "none" else tuple(self.kind.parse(part) for part in text.split(","))

    def check(self, what: str, value: Any) -> Any:
        """Return a tuple."""
        if not isinstance(value, list | tuple):
            raise ValueError(f"{what}: expected several with commas between them, got {value!r:.80}")
        return tuple(self.kind.check(what, each) for each in value)

    def write(self, value: Any) -> str:
        """Write them with commas between them."""
        return ",".join(map(self.kind.write, value)) if value else "none"


class Switch(Kind):
    """On or off; as a flag it takes no value."""

    metavar = ""
    invalid = "on"

    def check(self, what: str, value: Any) -> Any:
        """Return a bool."""
        if not isinstance(value, bool):
            raise ValueError(f"{what}: expected true or false, got {value!r:.80}")
        return value


@dataclass(frozen=True)
class Memory(Kind):
    """A size in bytes."""

    metavar = "SIZE"
    invalid = 0

    def parse(self, text: str) -> Any:
        """Read a size such as 500M or 2G."""
        units = {"K": 2**10, "M": 2**20, "G": 2**30}
        unit = units.get(text[-1:].upper(), 1)
        try:
            return float(text if unit == 1 else text[:-1]) * unit
        except ValueError:
            return text

    def check(self, what: str, value: Any) -> Any:
        """Return a number of bytes above 0."""
        if not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ValueError(f"{what}: expected a size above 0, such as 500M or 2G, got {value!r:.80}")
        return value


def setting(group: str) -> Callable[..., Any]:
    """Make what makes the settings of a group: ``kind``, default and help, and whether a stack can vary it."""

    def make(kind: Kind, default: Any, text: str, stacks: bool = False) -> Any:
        return field(default=default, metadata={"kind": kind, "group": group, "help": text, "stacks": stacks})

    return make


data, network, training = map(setting, ("data of your own", "network", "training"))


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting of a run. Raises ValueError where one is not what its kind expects."""

    dataset: str = data(DatasetName(), "iris", "what to train on")
    target: str | None = data(Column(), None, "the column that holds the classes; needed unless the file is of arrays")
    ignore: tuple[str, ...] = data(Several(Column()), (), "columns to leave out")
    sample_weight: str | None = data(Column(), None, "the column that says how much each sample counts")
    test: str | None = data(PathName(), None, "a file with the test split; by default 15 % of the rows are kept aside")
    validation: float = data(Number(above=0, below=0.8), 0.15, "share of the rows kept aside for validation")
    split_seed: int | None = data(Integer(0, SEEDS), None, "determines the split; by default --seed")

    hidden: tuple[int, ...] = network(Several(Integer()), (64,), "widths of hidden layers, or none")
    activation: str = network(OneOf(ACTIVATIONS), "relu", "what follows each hidden layer")
    normalize: str = network(OneOf(NORMALIZATIONS), "none", "what stands before each activation")
    dropout: float = network(Number(least=0, below=1), 0.0, "share of each hidden layer dropped in training")
    label_smoothing: float = network(Number(least=0, below=1), 0.0, "share of each target spread over all classes")
    class_weight: str | None = network(Kind(), None, "how much classes count: balanced, a number for each, or rare=5,…")

    epochs: int = training(Integer(), 50, "how often to go through the training split, at most")
    batch_size: int = training(Integer(), 32, "samples a step")
    optimizer: str = training(OneOf(tuple(USUAL_RATES)), "sgd", "how to step")
    lr: float | None = training(Number(above=0), None, "learning rate; by default 0.05, for adam 0.001", stacks=True)
    momentum: float = training(Number(least=0, below=1), 0.9, "of sgd: velocity kept at each step", stacks=True)
    nesterov: bool = training(Switch(), False, "of sgd: look ahead along the velocity")
    weight_decay: float = training(Number(least=0), 0.0, "λ of the penalty ½ λ Σ W²", stacks=True)
    schedule: str = training(OneOf(SCHEDULES), "constant", "how the learning rate changes")
    lr_every: int = training(Integer(), 10, "of --schedule step: epochs from step to step")
    lr_gamma: float = training(Number(above=0, most=1), 0.1, "of step and plateau: what the rate is multiplied by")
    warmup: int = training(Integer(0), 0, "of --schedule cosine: epochs in which the rate rises")
    lr_patience: int = training(Integer(), 5, "of --schedule plateau: epochs without improvement")
    clip_norm: float | None = training(Number(above=0), None, "shorten longer gradients to this norm")
    patience: int | None = training(Integer(), None, "stop after N epochs without a new best, and restore its weights")
    monitor: str = training(OneOf(tuple(MONITORS)), "loss", "what of the validation split makes an epoch the best")
    dtype: str = training(OneOf(("float32", "float64")), "float32", "precision of the computation")
    seed: int = training(Integer(0, SEEDS), 0, "determines initial weights, order and dropout", stacks=True)

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if value is not None or each.default is not None:
                object.__setattr__(self, each.name, each.metadata["kind"].check(flag(each.name), value))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Config:
        """Make a configuration of what JSON holds; what is not a setting is passed over."""
        return cls(**{name: content[name] for name in FIELDS if name in content})

    def json(self) -> dict[str, Any]:
        """Give all settings as JSON holds them."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}

    def flags(self) -> list[str]:
        """Write what differs from the defaults as arguments of ``minnet train``, the data set first."""
        return [self.dataset, *(text for name in FIELDS if name != "dataset" for text in write(name, vars(self)[name]))]

    @property
    def learning_rate(self) -> float:
        """The learning rate, or what is usual for the optimizer."""
        return USUAL_RATES[self.optimizer] if self.lr is None else self.lr

    def useless(self) -> str | None:
        """Say which setting would do nothing beside the others, or None."""
        sgd, schedule, hidden = self.optimizer == "sgd", self.schedule, bool(self.hidden)
        goes_with = {
            "momentum": ("--optimizer sgd", sgd),
            "nesterov": ("--optimizer sgd and --momentum above 0", sgd and self.momentum > 0),
            "lr_every": ("--schedule step", schedule == "step"),
            "lr_gamma": ("--schedule step or plateau", schedule in ("step", "plateau")),
            "lr_patience": ("--schedule plateau", schedule == "plateau"),
            "warmup": ("--schedule cosine", schedule == "cosine"),
            "monitor": ("--patience", self.patience is not None),
            "normalize": ("--hidden layers", hidden),
            "dropout": ("--hidden layers", hidden),
        }
        of_files = ("target", "ignore", "sample_weight", "test")
        goes_with |= dict.fromkeys(of_files, ("a file of one's own", is_file_name(self.dataset)))
        for name, (what, there) in goes_with.items():
            if not there and getattr(self, name) != FIELDS[name].default:
                return f"{flag(name)} goes with {what}"
        return None


FIELDS = {each.name: each for each in dataclasses.fields(Config)}


def flag(name: str) -> str:
    """Return the flag of a setting."""
    return "--" + name.replace("_", "-")


def with_rate(content: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings that JSON holds, with the optimizer's usual learning rate where none was asked for."""
    usual = USUAL_RATES.get(str(content.get("optimizer")))
    return {name: usual if name == "lr" and value is None else value for name, value in content.items()}


def write(name: str, value: Any) -> list[str]:
    """Write a setting as a flag, or several values of one that a stack varies; nothing if it is the default."""
    kind: Kind = FIELDS[name].metadata["kind"]
    if value == FIELDS[name].default:
        return []
    if isinstance(kind, Switch):
        return [flag(name)]
    several = isinstance(value, tuple) and not isinstance(kind, Several)
    return [f"{flag(name)}={(Several(kind) if several else kind).write(value)}"]
