"""What several tests share."""

import itertools
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before NumPy starts its threads; small products gain nothing from more

import numpy as np
import pytest

from minnet import Linear, Network, ReLU, Sigmoid, Tanh
from minnet.layers import Array, Layer
from minnet.training import Training

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


def contents(folder: str) -> dict[str, bytes]:
    """Return the files of a run, without the seconds that were measured and the checkpoints."""
    files = {}
    for file in sorted(Path(folder).iterdir()):
        if file.is_dir():
            continue
        text = file.read_bytes()
        if file.name == "metrics.csv":
            text = re.sub(rb",[^,\n]*\n", b"\n", text)
        if file.name == "results.json":
            text = re.sub(rb'"seconds": [\d.e-]+', b"", text)
        files[file.name] = text
    return files


def signal_in_step(monkeypatch: pytest.MonkeyPatch, step: int, number: signal.Signals = signal.SIGINT) -> None:
    """Send this process a signal while it computes a step."""
    take = Training.step  # the proof before the first step takes a batch, too
    taken = 0

    def counting(self: Training, rows: Any) -> None:
        nonlocal taken
        taken += 1
        if taken == step:
            signal.raise_signal(number)
        take(self, rows)

    monkeypatch.setattr(Training, "step", counting)
