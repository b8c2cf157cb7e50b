"""How do flags become a data set, a network and a training, and a run's configuration flags again?"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minnet.data import Dataset
from minnet.data.named import load_dataset
from minnet.data.tables import class_numbers, is_file_name, read_table
from minnet.layers import BatchNorm, Dropout, Layer, LayerNorm, LeakyReLU, Linear, ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.optimizers import SGD, Adam, Optimizer
from minnet.output import SoftmaxCrossEntropy
from minnet.runs.report import class_numbers_of
from minnet.schedules import CosineDecay, ReduceOnPlateau, Schedule, StepDecay
from minnet.support.machine import free_memory
from minnet.support.text import listed
from minnet.training import Training

ACTIVATIONS: dict[str, Callable[[], Layer]] = {"relu": ReLU, "leaky_relu": LeakyReLU, "tanh": Tanh, "sigmoid": Sigmoid}
NORMALIZATIONS: dict[str, Callable[[int], Layer]] = {"batch": BatchNorm, "layer": LayerNorm}
SCHEDULES = ("constant", "step", "cosine", "plateau")
# What a run's configuration does not hold: how it is shown, where it goes, and what a resumed run may have otherwise.
NOT_SETTINGS = (
    "command", "parser", "argv", "out", "force", "json", "quiet", "memory", "resume", "live", "tensorboard",
    "checkpoint_every",
)  # fmt: skip


def read_dataset(arguments: argparse.Namespace) -> Dataset:
    """Load the data set that the flags name, or make one of the user's own files."""
    dtype = getattr(arguments, "dtype", "float32")
    if not is_file_name(arguments.dataset):
        for flag in ("target", "ignore", "weights", "test"):
            if getattr(arguments, flag, None):
                raise ValueError(f"--{flag} goes with a file of one's own, not with the data set {arguments.dataset}")
        return load_dataset(arguments.dataset, arguments.seed, dtype, arguments.validation)
    table = read_table(arguments.dataset, arguments.target, ignore=arguments.ignore, sample_weight=arguments.weights)
    t, class_names = number_classes(table.labels, arguments.dataset)
    test = None
    if arguments.test:
        other = read_table(
            arguments.test, arguments.target, features=table.feature_names, sample_weight=arguments.weights
        )
        test = [other.x, number_classes(other.labels, arguments.test, class_names)[0]]
        test += [] if other.sample_weight is None else [other.sample_weight]
    with np.errstate(over="ignore"):
        return Dataset.from_arrays(
            table.x, t, name=table.name, class_names=class_names, feature_names=table.feature_names,
            seed=arguments.seed, dtype=dtype, sample_weight=table.sample_weight, validation=arguments.validation, test=test,
        )  # fmt: skip


def number_classes(labels: Any, file: str, class_names: Sequence[str] | None = None) -> tuple[Any, tuple[str, ...]]:
    """Number the classes of a file, which an error names."""
    try:
        return class_numbers(labels, class_names)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def make_layers(arguments: argparse.Namespace, dataset: Dataset) -> list[Layer]:
    """Make the layers that the flags describe: Linear, normalisation, activation, dropout, and so on."""
    layers: list[Layer] = []
    D = dataset.D
    for H in arguments.hidden:
        layers.append(Linear(D, H))
        if arguments.normalize != "none":
            layers.append(NORMALIZATIONS[arguments.normalize](H))
        layers.append(ACTIVATIONS[arguments.activation]())
        if arguments.dropout:
            layers.append(Dropout(arguments.dropout))
        D = H
    return [*layers, Linear(D, dataset.K)]


def make_network(
    arguments: argparse.Namespace, dataset: Dataset, dtype: str, seed: int | Sequence[int] | None = None
) -> Network:
    """Make the network that the flags describe, or a stack of them."""
    output = SoftmaxCrossEntropy(arguments.label_smoothing, class_weights(arguments.class_weights, dataset))
    seed = arguments.seed if seed is None else seed
    return Network(make_layers(arguments, dataset), output, seed=seed, dtype=dtype)


def class_weights(text: str | None, dataset: Dataset) -> list[float] | None:
    """Make class weights of "balanced", of one number for each class, or of pairs such as "rare=5".

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if text is None:
        return None
    K = dataset.K
    if text == "balanced":  # every class counts as much as any other, and the mean weight of a sample is 1
        t = class_numbers_of(dataset.train.t)
        counts = np.bincount(t, minlength=K)
        return [len(t) / (K * int(count)) for count in counts]
    expected = f"expected --class-weights to be balanced, {K} numbers, or pairs such as {dataset.class_names[0]}=2"
    parts = text.split(",")
    weights = dict.fromkeys(dataset.class_names, 1.0)
    try:
        if "=" not in text:
            if len(parts) != K:
                raise ValueError(f"{expected}; got {len(parts)} numbers")
            return [float(part) for part in parts]
        for part in parts:
            name, _, value = part.rpartition("=")
            if name not in weights:
                raise ValueError(f"{expected}; there is no class {name!r}, but {listed(weights)}")
            weights[name] = float(value)
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(expected) else f"{expected}; got {text!r}") from None
    return list(weights.values())


def learning_rates(arguments: argparse.Namespace) -> list[float]:
    """Return the learning rates: those given, or what is usual for the optimizer."""
    rates: list[float] | None = arguments.lr
    return rates or [0.001 if arguments.optimizer == "adam" else 0.05]


def make_optimizer(arguments: argparse.Namespace, lr: Any) -> Optimizer:
    """Make the optimizer that the flags describe."""
    if arguments.optimizer == "adam":
        return Adam(lr, weight_decay=arguments.weight_decay)
    return SGD(lr, arguments.momentum, arguments.nesterov, arguments.weight_decay)


def make_schedule(arguments: argparse.Namespace) -> Schedule | None:
    """Make the schedule that the flags describe."""
    if arguments.schedule == "step":
        return StepDecay(arguments.lr_every, arguments.lr_gamma)
    if arguments.schedule == "cosine":
        return CosineDecay(arguments.warmup)
    if arguments.schedule == "plateau":
        return ReduceOnPlateau(arguments.lr_patience, arguments.lr_gamma)
    return None


def make_training(arguments: argparse.Namespace, dataset: Dataset) -> Training:
    """Make the training that the flags describe; of a stack if there are several seeds or learning rates."""
    rates = learning_rates(arguments)
    if together(arguments):
        seeds = range(arguments.seed, arguments.seed + arguments.seeds)
        grid = list(itertools.product(rates, seeds))
        network = make_network(arguments, dataset, arguments.dtype, [seed for _, seed in grid])
        optimizer = make_optimizer(arguments, [lr for lr, _ in grid])
    else:
        network = make_network(arguments, dataset, arguments.dtype)
        optimizer = make_optimizer(arguments, rates[0])
    return Training(
        network, optimizer, dataset, arguments.epochs, arguments.batch_size, schedule=make_schedule(arguments),
        clip_norm=arguments.clip_norm, patience=arguments.patience, monitor=arguments.monitor,
        memory=memory_bound(arguments) if together(arguments) else math.inf,
    )  # fmt: skip


def together(arguments: argparse.Namespace) -> bool:
    """Whether several networks are trained at once."""
    return arguments.seeds > 1 or len(learning_rates(arguments)) > 1


def memory_bound(arguments: argparse.Namespace) -> float:
    """Return how many bytes training a stack may take."""
    return free_memory() / 4 if arguments.memory is None else float(arguments.memory)


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a run's configuration says of the flags."""
    settings = {name: value for name, value in vars(arguments).items() if name not in NOT_SETTINGS}
    rates = learning_rates(arguments)
    return {**settings, "lr": rates if len(rates) > 1 else rates[0]}


def command_line(config: dict[str, Any], parser: argparse.ArgumentParser) -> list[str]:
    """Write a run's settings as flags again, so that the parser that took them checks them."""
    flags = []
    for name, value in config.items():
        if name in vars(parser.parse_args([])) and name not in NOT_SETTINGS and name != "dataset":
            flag = f"--{name.replace('_', '-')}"
            if value is True:
                flags.append(flag)
            elif value == []:
                flags += [flag, "none"] if name == "hidden" else []
            elif value is not None and value is not False:
                text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
                flags.append(f"{flag}={text}")
    return [*flags, "--", str(config.get("dataset", ""))]
