"""How does a configuration become a data set, a network and a training?"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minnet.data.dataset import Dataset
from minnet.data.named import load_dataset
from minnet.data.tables import class_numbers, is_file_name, read_table
from minnet.layers import BatchNorm, Dropout, Layer, LayerNorm, LeakyReLU, Linear, ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.optimizers import SGD, Adam, Optimizer
from minnet.output import SoftmaxCrossEntropy
from minnet.runs.config import Config
from minnet.schedules import CosineDecay, ReduceOnPlateau, Schedule, StepDecay
from minnet.support import expect
from minnet.support.text import listed
from minnet.training import Training

LAYERS: dict[str, Callable[[], Layer]] = {"relu": ReLU, "leaky_relu": LeakyReLU, "tanh": Tanh, "sigmoid": Sigmoid}
NORMALIZATIONS: dict[str, Callable[[int], Layer]] = {"batch": BatchNorm, "layer": LayerNorm}


def make_dataset(config: Config) -> Dataset:
    """Load the data set of a configuration, or make one of the user's own files."""
    seed = config.seed if config.split_seed is None else config.split_seed
    if not is_file_name(config.dataset):
        return load_dataset(config.dataset, seed, config.dtype, config.validation)
    reading: dict[str, Any] = {"sample_weight": config.sample_weight}
    table = read_table(config.dataset, config.target, ignore=config.ignore, **reading)
    t, class_names = number_classes(table.labels, config.dataset)
    test: list[Any] | None = None
    if config.test is not None:
        other = read_table(config.test, config.target, features=table.feature_names, **reading)
        test = [other.x, number_classes(other.labels, config.test, class_names)[0]]
        test += [] if other.sample_weight is None else [other.sample_weight]
    names: dict[str, Any] = {"class_names": class_names, "feature_names": table.feature_names}
    splitting: dict[str, Any] = {"seed": seed, "validation": config.validation, "test": test}
    with np.errstate(over="ignore"):
        return Dataset.from_arrays(
            table.x, t, name=table.name, dtype=config.dtype, sample_weight=table.sample_weight, **names, **splitting
        )


def number_classes(labels: Any, file: str, class_names: Sequence[str] | None = None) -> tuple[Any, tuple[str, ...]]:
    """Number the classes of a file, which an error names."""
    try:
        return class_numbers(labels, class_names)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def make_layers(config: Config, D: int, K: int) -> list[Layer]:
    """Make the layers of a configuration: Linear, normalisation, activation, dropout, and so on."""
    layers: list[Layer] = []
    for H in config.hidden:
        layers.append(Linear(D, H))
        if config.normalize != "none":
            layers.append(NORMALIZATIONS[config.normalize](H))
        layers.append(LAYERS[config.activation]())
        if config.dropout:
            layers.append(Dropout(config.dropout))
        D = H
    return [*layers, Linear(D, K)]


def make_network(config: Config, dataset: Dataset, seed: int | Sequence[int] | None = None) -> Network:
    """Make the network of a configuration, or of other seeds than its own a stack of them."""
    output = SoftmaxCrossEntropy(config.label_smoothing, class_weights(config.class_weight, dataset))
    layers = make_layers(config, dataset.D, dataset.K)
    return Network(layers, output, config.seed if seed is None else seed, config.dtype)


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
        t = expect.targets(dataset.train.t, K).argmax(axis=1)
        return [len(t) / (K * int(count)) for count in np.bincount(t, minlength=K)]
    expected = f"--class-weight: expected balanced, {K} numbers, or pairs such as {dataset.class_names[0]}=2"
    weights = dict.fromkeys(dataset.class_names, "1")
    parts = text.split(",")
    if "=" in text:
        for part in parts:
            name, _, value = part.rpartition("=")
            if name not in weights:
                raise ValueError(f"{expected}; there is no class {name!r}, but {listed(weights)}")
            weights[name] = value
        parts = list(weights.values())
    if len(parts) != K:
        raise ValueError(f"{expected}; got {len(parts)} numbers")
    try:
        return [float(part) for part in parts]
    except ValueError:
        raise ValueError(f"{expected}; got {text!r}") from None


def make_optimizer(configs: Sequence[Config], stacked: bool) -> Optimizer:
    """Make the optimizer of a configuration, or of several that a stack has."""

    def of(name: str) -> Any:
        values = [getattr(config, name) for config in configs]
        return values if stacked and len(set(values)) > 1 else values[0]

    if configs[0].optimizer == "adam":
        return Adam(of("learning_rate"), weight_decay=of("weight_decay"))
    return SGD(of("learning_rate"), of("momentum"), configs[0].nesterov, of("weight_decay"))


def make_schedule(config: Config) -> Schedule | None:
    """Make the schedule of a configuration."""
    if config.schedule == "step":
        return StepDecay(config.lr_every, config.lr_gamma)
    if config.schedule == "cosine":
        return CosineDecay(config.warmup)
    if config.schedule == "plateau":
        return ReduceOnPlateau(config.lr_patience, config.lr_gamma)
    return None


def make_training(configs: Sequence[Config], dataset: Dataset, stacked: bool) -> Training:
    """Make the training of a configuration, or of several that differ only in what a stack can vary."""
    config = configs[0]
    seed = [each.seed for each in configs] if stacked else config.seed
    network, optimizer = make_network(config, dataset, seed), make_optimizer(configs, stacked)
    settings: dict[str, Any] = {name: getattr(config, name) for name in ("clip_norm", "patience", "monitor")}
    schedule = make_schedule(config)
    return Training(network, optimizer, dataset, config.epochs, config.batch_size, schedule=schedule, **settings)
