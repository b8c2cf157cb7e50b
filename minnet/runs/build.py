"""How does a configuration become a data set, a network and a training?"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from minnet.data.dataset import Dataset
from minnet.data.named import load_raw
from minnet.data.splits import fold_rows
from minnet.data.table import Table
from minnet.data.tables import is_file_name, read_table
from minnet.layers import BatchNorm, Dropout, Layer, LayerNorm, LeakyReLU, Linear, ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.optimizers import SGD, Adam, Optimizer
from minnet.output import SoftmaxCrossEntropy
from minnet.runs.config import Config
from minnet.runs.folds import FoldTraining, widen
from minnet.schedules import CosineDecay, ReduceOnPlateau, Schedule, StepDecay
from minnet.support import expect
from minnet.support.text import listed
from minnet.training import Training

LAYERS: dict[str, Callable[[], Layer]] = {"relu": ReLU, "leaky_relu": LeakyReLU, "tanh": Tanh, "sigmoid": Sigmoid}
NORMALIZATIONS: dict[str, Callable[[int], Layer]] = {"batch": BatchNorm, "layer": LayerNorm}


def make_dataset(config: Config) -> Dataset:
    """Load the data set of a configuration, or make one of the user's own files; of folds the one that is asked for."""
    return make_datasets([config])[0]


def make_datasets(configs: Sequence[Config], table: Table | None = None) -> list[Dataset]:
    """Make the data set of each of several configurations, each of their folds once, of a table if it was read before.

    Raises
    ------
    ValueError
        If one cannot be made, or there is no such fold.
    """
    config, made = configs[0], dict[int | None, Dataset]()
    seed = config.seed if config.split_seed is None else config.split_seed
    table, test = table or read(config), None
    if config.test is not None:
        wanted = [(column.name, column.kind) for column in table.columns]
        test = read_table(
            config.test, config.target, columns=wanted, class_names=table.class_names,
            sample_weight=config.sample_weight, missing=config.missing, min_class=config.min_class,
        )  # fmt: skip
    with np.errstate(over="ignore"):
        if config.folds is None or config.fold is None:
            made[config.fold] = Dataset.from_table(
                table, seed=seed, dtype=config.dtype, validation=config.validation, test=test
            )
        else:
            splits = fold_rows(
                np.asarray(table.t), config.folds, config.repeats, seed, config.validation,
                table.groups, table.time, table.class_names,
            )  # fmt: skip
            for fold in dict.fromkeys(cast(int, each.fold) for each in configs):
                expect.integer(f"--fold, of {config.folds} folds × {config.repeats}", fold, most=len(splits))
                made[fold] = Dataset.of_rows(table, splits[fold - 1], config.dtype)
    return [made[each.fold] for each in configs]


def read(config: Config) -> Table:
    """Read all samples of a configuration's data set, but for a test split of its own."""
    if not is_file_name(config.dataset):
        return load_raw(config.dataset)
    names = ("target", "ignore", "sample_weight", "categorical", "missing", "min_class", "group", "time")
    return read_table(config.dataset, **{name: getattr(config, name) for name in names})


def make_network(config: Config, dataset: Dataset, seed: int | Sequence[int] | None = None) -> Network:
    """Make the network of a configuration, or of other seeds than its own a stack of them.

    Its layers are Linear, normalisation, activation, dropout, and so on.
    """
    layers: list[Layer] = []
    D = dataset.D
    for H in config.hidden:
        layers.append(Linear(D, H))
        if config.normalize != "none":
            layers.append(NORMALIZATIONS[config.normalize](H))
        layers.append(LAYERS[config.activation]())
        if config.dropout:
            layers.append(Dropout(config.dropout))
        D = H
    layers.append(Linear(D, dataset.K))
    return Network(layers, make_output(config, dataset), config.seed if seed is None else seed, config.dtype)


def make_output(config: Config, dataset: Dataset) -> SoftmaxCrossEntropy:
    """Make the output layer of a configuration, whose class weights may depend on the data set."""
    return SoftmaxCrossEntropy(config.label_smoothing, class_weights(config.class_weight, dataset))


def class_weights(text: str | None, dataset: Dataset) -> list[float] | None:
    """Make class weights of "balanced", of one number for each class, or of pairs such as "rare=5".

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if text is None:
        return None
    K, counts = dataset.K, dataset.counts("train")
    if text == "balanced":  # every class counts as much as any other, and the mean weight of a sample is 1
        return (counts.sum() / (K * counts)).tolist()  # type: ignore[no-any-return]
    given = text.split(",")
    if "=" in text:
        pairs = dict(each.rpartition("=")[::2] for each in given)
        given = [pairs.pop(name, "1") for name in dataset.class_names] + list(pairs)  # what is left names no class
    with contextlib.suppress(ValueError):
        weights = [float(each) for each in given]
        if len(weights) == K:
            return weights
    expected = f"balanced, {K} numbers, or pairs such as {dataset.class_names[0]}=2"
    raise ValueError(f"--class-weight: expected {expected}, of {listed(dataset.class_names)}; got {text!r:.80}")


def make_training(configs: Sequence[Config], datasets: Sequence[Dataset], stacked: bool) -> Training:
    """Make the training of a configuration, or of several that differ only in what a stack can vary.

    Each has its data set. If these differ, their training splits are equally large.
    """
    config = configs[0]

    def of(name: str) -> Any:
        values = [getattr(each, name) for each in configs]
        return values if stacked and len(set(values)) > 1 else values[0]

    schedules: dict[str, Schedule | None] = {
        "constant": None,
        "step": StepDecay(config.lr_every, config.lr_gamma),
        "cosine": CosineDecay(config.warmup),
        "plateau": ReduceOnPlateau(config.lr_patience, config.lr_gamma),
    }
    network, dataset = make_stack(configs, datasets, stacked), max(datasets, key=lambda each: each.D)
    several: dict[str, Any] = {}
    if any(each is not dataset for each in datasets):
        several = {"datasets": datasets, "outputs": [make_output(config, each) for each in datasets]}
        network.output = SoftmaxCrossEntropy(config.label_smoothing)  # class weights are in those of samples then
    return (FoldTraining if several else Training)(
        network, make_optimizer(config, of), dataset, config.epochs, config.batch_size, monitor=config.monitor,
        schedule=schedules[config.schedule], clip_norm=config.clip_norm, patience=config.patience, **several,
    )  # fmt: skip


def make_optimizer(config: Config, of: Callable[[str], Any]) -> Optimizer:
    """Make the optimizer of a configuration, of whose settings ``of`` gives the value, or the values of a stack."""
    lr, weight_decay = of("learning_rate"), of("weight_decay")
    if config.optimizer == "adam":
        return Adam(lr, weight_decay=weight_decay)
    return SGD(lr, of("momentum"), config.nesterov, weight_decay)


def make_stack(configs: Sequence[Config], datasets: Sequence[Dataset], stacked: bool = True) -> Network:
    """Make the network of a configuration, or a stack of several, of which some may have fewer features than others."""
    widest = max(datasets, key=lambda each: each.D)
    network = make_network(configs[0], widest, [each.seed for each in configs] if stacked else configs[0].seed)
    if stacked:
        for theta, config, dataset in zip(network.theta, configs, datasets, strict=True):
            if dataset.D < network.D:
                own = make_network(config, dataset).theta
                theta[...] = widen(own, first_width(config, dataset), dataset.D, network.D)
    return network


def first_width(config: Config, dataset: Dataset) -> int:
    """Return the outputs of the first layer."""
    return config.hidden[0] if config.hidden else dataset.K
