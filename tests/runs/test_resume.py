"""Does a run that was interrupted end where one that was not would have, byte for byte?"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minnet import SGD, Dataset, Linear, Network, ReLU, SoftmaxCrossEntropy, load_dataset
from minnet.history import History
from minnet.layers import Array, BatchNorm, Dropout, Layer
from minnet.optimizers import Adam, Optimizer
from minnet.runs.checkpoints import restore, state
from minnet.schedules import CosineDecay, ReduceOnPlateau, StepDecay
from minnet.training import Training


@pytest.fixture(scope="module")
def iris() -> Dataset:
    return load_dataset("iris")


OPTIMIZERS: list[Callable[[], Optimizer]] = [
    lambda: SGD(0.05, 0.9, nesterov=True, weight_decay=0.01),
    lambda: Adam(0.01, weight_decay=0.01),
]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"schedule": CosineDecay(warmup=1), "clip_norm": 0.5},
    {"schedule": StepDecay(2, 0.5), "patience": 6},  # as many as epochs: the best weights are kept, and none left out
    {"schedule": ReduceOnPlateau(1, 0.5), "patience": 2, "monitor": "accuracy"},
    {"patience": 1},
]


def make(dataset: Dataset, optimizer: Callable[[], Optimizer], seed: Any, settings: dict[str, Any]) -> Training:
    layers: list[Layer] = [Linear(4, 8), BatchNorm(8), ReLU(), Dropout(0.3), Linear(8, 3)]
    network = Network(layers, SoftmaxCrossEntropy(0.1, [1, 2, 1]), seed=seed)
    return Training(network, optimizer(), dataset, 6, 25, **settings)


def columns(history: History) -> dict[str, Any]:
    return {name: np.array(column) for name, column in vars(history).items() if name != "seconds"}


def interrupt(training: Training, steps: int) -> None:
    """Let it take so many steps, and stop after the last of them."""
    step = training.optimizer.step

    def counted(network: Network) -> None:
        nonlocal steps
        step(network)
        steps -= 1
        training.interrupted = steps == 0

    training.optimizer.step = counted  # type: ignore[method-assign]
    training.run()


@pytest.mark.parametrize("seed", [3, tuple(range(8))], ids=["single", "stack of 8"])
@pytest.mark.parametrize("settings", SETTINGS, ids=repr)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["SGD", "Adam"])
def test_resume_equals_uninterrupted(
    optimizer: Callable[[], Optimizer], settings: dict[str, Any], seed: Any, iris: Dataset
) -> None:
    whole = make(iris, optimizer, seed, settings)
    whole.run()
    for steps in (1, 5, 10, 13):  # in the middle of an epoch, and right after the last step of one
        first = make(iris, optimizer, seed, settings)
        interrupt(first, steps)
        assert first.ended is not None
        if first.ended.reason != "interrupted":  # stopped early before
            continue
        assert len(first.history.batch_loss) == steps
        arrays, values = state(first)
        saved: dict[str, Array] = {name: array.copy() for name, array in arrays.items()}
        second = make(iris, optimizer, seed, settings)
        restore(second, saved, values)
        first.interrupted = False
        for training in (first, second):  # in the same process, and from what was saved
            training.run()
            np.testing.assert_array_equal(training.network.theta, whole.network.theta)
            np.testing.assert_array_equal(training.kept_theta, whole.kept_theta)
            assert training.ended == whole.ended
            for name, column in columns(whole.history).items():
                np.testing.assert_array_equal(columns(training.history)[name], column)
