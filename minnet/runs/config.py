"""What is a run a function of? One configuration: every setting once, with its kind, from which all else follows.

A *kind* parses a flag, checks a value, and writes it as a flag again. Flags and their help, ``config.json``, what
resuming compares, what `minnet tune` recommends and how two runs differ all come from the fields below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, NamedTuple

from minnet.data.named import check_name
from minnet.data.tables import is_file_name
from minnet.support import expect
from minnet.support.files import inner
from minnet.support.scores import MONITORS

USUAL_RATES = {"sgd": 0.05, "adam": 0.003}  # of the optimizers
SCHEDULES = ("constant", "step", "cosine", "plateau")
VARIED = ("lr", "momentum", "weight_decay", "fold", "seed")  # what a stack can vary


class WrongUsage(ValueError):
    """What was asked for cannot be meant."""


class Kind(NamedTuple):
    """What a value may be.

    Attributes
    ----------
    metavar : str
        How help shows it.
    check : callable
        Returns a value in the form that is used, or raises ValueError; what is checked comes first, for the message.
    read, write : callable
        Between text and value; what `read` cannot take raises ValueError.
    """

    metavar: str
    check: Callable[[str, Any], Any]
    read: Callable[[str], Any] = str
    write: Callable[[Any], str] = str

    def parse(self, text: str) -> Any:
        """Read a value from the command line; what makes no sense is left for `check` to refuse."""
        try:
            return self.read(text)
        except ValueError:
            return text


def integer(**bounds: Any) -> Kind:
    """Make the kind of an integer within bounds, at least 1 by default."""
    return Kind("N", partial(expect.integer, **bounds), int)


def number(**bounds: Any) -> Kind:
    """Make the kind of a number within bounds, which is written as short as tells it apart."""
    return Kind("X", partial(expect.number, **bounds), float, lambda value: repr(value).removesuffix(".0"))


def one_of(*words: str) -> Kind:
    """Make the kind of one of several words."""
    return Kind("{" + ",".join(words) + "}", partial(expect.one_of, choices=words))


def check_each(kind: Kind, what: str, values: Any) -> tuple[Any, ...]:
    """Return a tuple of values of a kind."""
    if not isinstance(values, list | tuple):
        raise ValueError(f"{what}: expected several with commas between them, got {values!r:.80}")
    return tuple(kind.check(what, value) for value in values)


def several(kind: Kind) -> Kind:
    """Make the kind of values with commas between them; ``none`` is none of them."""
    return Kind(
        f"{kind.metavar},…",
        partial(check_each, kind),
        lambda text: () if text == "none" else tuple(map(kind.parse, text.split(","))),
        lambda values: ",".join(map(kind.write, values)) if values else "none",
    )


def check_optional(kind: Kind, what: str, value: Any) -> Any:
    """Return a value of a kind, or None."""
    try:
        return None if value is None else kind.check(what, value)
    except ValueError as error:
        raise ValueError(f"{error} (none is possible, too)") from None


def optional(kind: Kind) -> Kind:
    """Make the kind of a value that may also be None, which is written ``none``."""
    return Kind(
        f"{kind.metavar}|none",
        partial(check_optional, kind),
        lambda text: None if text == "none" else kind.parse(text),
        lambda value: "none" if value is None else kind.write(value),
    )


def check_text(what: str, value: Any) -> str:
    """Return any text but an empty one."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what}: expected a name, got {value!r:.80}")
    return value


def check_switch(what: str, value: Any) -> bool:
    """Return a bool."""
    if not isinstance(value, bool):
        raise ValueError(f"{what}: expected true or false, got {value!r:.80}")
    return value


def check_dataset(what: str, value: Any) -> str:
    """Return the name of a data set or of a file, or raise ValueError with those most like it."""
    name = check_text(what, value)
    try:
        return name if is_file_name(name) else check_name(name)
    except ValueError as error:
        raise ValueError(f"{what}: {error}, or a file: .csv, .parquet, .npz, x.npy,y.npy") from None


TEXT, COLUMN, PATH = (Kind(metavar, check_text) for metavar in ("TEXT", "COLUMN", "PATH"))
SWITCH = Kind("", check_switch)  # as a flag it takes no value
DATASET = Kind("DATASET", check_dataset)
SHARE, COUNT = number(least=0, below=1), integer()
SEED = integer(least=0, most=2**32 - 1)  # the largest that scikit-learn's splits take
GROUPS = ("data of your own", "network", "training")


def setting(group: str, kind: Kind, text: str, default: Any = None) -> Any:
    """Make a setting of a group: its kind, help and default."""
    return field(default=default, metadata={"kind": kind, "group": group, "help": text})


data, network, training = (partial(setting, group) for group in GROUPS)
WHICH = "one of `minnet datasets`, openml:<name or number>, or a file: .csv, .tsv, .parquet, .npz, x.npy,y.npy"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting of a run. Raises ValueError where one is not what its kind expects."""

    dataset: str = setting("", DATASET, WHICH, "iris")
    target: str | None = data(COLUMN, "the column that holds the classes; needed unless the file is of arrays")
    ignore: tuple[str, ...] = data(several(COLUMN), "columns to leave out", ())
    sample_weight: str | None = data(COLUMN, "the column that says how much each sample counts")
    categorical: tuple[str, ...] = data(several(COLUMN), "columns of numbers that are codes of categories", ())
    missing: str = data(one_of("fill", "refuse"), "missing cells are filled with medians, or refused", "fill")
    min_class: int | None = data(COUNT, "leave out rows of classes that have fewer than N")
    group: str | None = data(COLUMN, "rows that have the same value there stay in one split")
    time: str | None = data(COLUMN, "test on the rows that came last, by this column")
    test: str | None = data(PATH, "a file with the test split; by default 15 % of the rows are kept aside")
    folds: int | None = data(integer(least=2), "cross-validation: N splits, in which each row is tested once")
    repeats: int = data(COUNT, "of --folds: how often, each time split anew", 1)
    fold: int | None = data(COUNT, "of --folds: train only this one of the splits")
    validation: float = data(number(above=0, below=0.8), "share of the rows kept aside for validation", 0.15)
    split_seed: int | None = data(SEED, "determines the split; by default --seed")

    hidden: tuple[int, ...] = network(several(COUNT), "widths of hidden layers, or none", (64,))
    activation: str = network(one_of("relu", "leaky_relu", "tanh", "sigmoid"), "what follows each hidden layer", "relu")
    normalize: str = network(one_of("none", "batch", "layer"), "what stands before each activation", "none")
    dropout: float = network(SHARE, "share of each hidden layer dropped in training", 0.0)
    label_smoothing: float = network(SHARE, "share of each target spread over all classes", 0.0)
    class_weight: str | None = network(TEXT, "how much classes count: balanced, a number for each, or rare=5,…")

    epochs: int = training(COUNT, "how often to go through the training split, at most", 50)
    batch_size: int = training(COUNT, "samples a step", 32)
    optimizer: str = training(one_of(*USUAL_RATES), "how to step", "sgd")
    lr: float | None = training(number(above=0), "learning rate; by default 0.05, for adam 0.003")
    momentum: float = training(SHARE, "of sgd: velocity kept at each step", 0.9)
    nesterov: bool = training(SWITCH, "of sgd: look ahead along the velocity", False)
    weight_decay: float = training(number(least=0), "λ of the penalty ½ λ Σ W²", 0.0005)
    schedule: str = training(one_of(*SCHEDULES), "how the learning rate changes", "cosine")
    lr_every: int = training(COUNT, "of --schedule step: epochs from step to step", 10)
    lr_gamma: float = training(number(above=0, most=1), "of step and plateau: what the rate is multiplied by", 0.1)
    warmup: int = training(integer(least=0), "of --schedule cosine: epochs in which the rate rises", 0)
    lr_patience: int = training(COUNT, "of --schedule plateau: epochs without improvement", 5)
    clip_norm: float | None = training(number(above=0), "shorten longer gradients to this norm")
    patience: int | None = training(
        optional(COUNT), "keep the best epoch's weights, stop N epochs after it; none: all epochs, the last weights", 20
    )
    refit: bool = training(SWITCH, "of --folds: save one network trained on all rows, for the mean best epoch", False)
    no_baseline: bool = training(SWITCH, "train no logistic regression to compare with", False)
    monitor: str = training(one_of(*MONITORS), "what of the validation split makes an epoch the best", "loss")
    dtype: str = training(one_of("float32", "float64"), "precision of the computation", "float32")
    seed: int = training(SEED, "determines initial weights, order and dropout", 0)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None or each.default is not None:
                object.__setattr__(self, each.name, each.metadata["kind"].check(flag(each.name), value))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Config:
        """Make a configuration of what JSON holds; what is not a setting is passed over."""
        return cls(**{name: content[name] for name in FIELDS if name in content})

    @property
    def learning_rate(self) -> float:
        """The learning rate, or what is usual for the optimizer."""
        return USUAL_RATES[self.optimizer] if self.lr is None else self.lr

    def check_together(self) -> Config:
        """Return the configuration, or raise WrongUsage if a setting would do nothing beside the others."""
        sgd, schedule = self.optimizer == "sgd", self.schedule
        for there, what, *names in (
            (sgd, "--optimizer sgd", "momentum"),
            (sgd and self.momentum > 0, "--optimizer sgd and --momentum above 0", "nesterov"),
            (schedule == "step", "--schedule step", "lr_every"),
            (schedule in ("step", "plateau"), "--schedule step or plateau", "lr_gamma"),
            (schedule == "plateau", "--schedule plateau", "lr_patience"),
            (schedule == "cosine", "--schedule cosine", "warmup"),
            (self.patience, "--patience N", "monitor"),
            (self.hidden, "--hidden layers", "normalize", "dropout"),
            (is_file_name(self.dataset), "a file of one's own", "target", "ignore", "sample_weight", "test"),
            (is_file_name(self.dataset), "a file of one's own", "categorical", "missing", "min_class", "group", "time"),
            (self.folds, "--folds", "repeats", "fold", "refit"),
            (self.fold is None, "all folds, without --fold", "refit"),
        ):
            for name in names:
                if not there and getattr(self, name) != FIELDS[name].default:
                    raise WrongUsage(f"{flag(name)} goes with {what}")
        if self.folds and self.test:
            raise WrongUsage("--folds tests each row once, and --test FILE is for one split: leave one of them out")
        if self.test and (self.group or self.time):
            raise WrongUsage("--group and --time say which rows are tested, and so does --test FILE: leave one out")
        if self.group and self.time:
            raise WrongUsage("--group and --time: a split is by one of them; leave the other out")
        return self


FIELDS = {each.name: each for each in fields(Config)}


def flag(name: str) -> str:
    """Return the flag of a setting."""
    return "--" + name.replace("_", "-")


def settings_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Give what ``config.json`` says, with all values of what networks vary."""
    return {**content, **inner(content, "grid")}
