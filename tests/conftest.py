"""What several tests share."""

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before NumPy starts its threads; small products gain nothing from more

import numpy as np
import pytest

from minnet import Linear, Network, ReLU, Sigmoid, Tanh
from minnet.layers import Array, Layer

# What a script starts in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores

ACTIVATIONS = (ReLU, Tanh, Sigmoid)


def make_network(
    widths: tuple[int, ...] = (4, 5, 3),
    activation: type[ReLU | Tanh | Sigmoid] = Tanh,
    dtype: str = "float64",
    seed: int = 0,
) -> Network:
    """Make a small network with biases that are not 0."""
    layers: list[Layer] = []
    for D, H in itertools.pairwise(widths):
        layers += [Linear(D, H), activation()]
    network = Network(layers[:-1], seed=seed, dtype=dtype)
    network.theta += np.random.default_rng(seed).normal(0, 0.1, network.theta.size).astype(dtype)
    return network


@pytest.fixture
def batch() -> tuple[Array, Array]:
    """Six samples of four features, and their class numbers out of three."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(6, 4)), np.array([0, 1, 2, 0, 1, 1])


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read lines of a process's stderr up to one with some text in it."""
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any(text in line for line in lines), f"it ended without {text!r}"


def wait_until(process: subprocess.Popen[Any], condition: Callable[[], object]) -> None:
    """Wait for something that a process does."""
    while not condition():
        assert process.poll() is None, "it ended before"
        time.sleep(0.01)
