"""Does minnet compute what PyTorch computed? Held to numbers stored by make_pytorch_parity.py, within 1e-12."""

from pathlib import Path

import numpy as np
import pytest

from minnet import SGD, ReLU, Sigmoid, Tanh
from tests.conftest import make_network

with np.load(Path(__file__).with_name("pytorch_parity.npz"), allow_pickle=False) as file:
    STORED = dict(file)
CASES = sorted(name.removesuffix(" start") for name in STORED if name.endswith(" start"))
WIDTHS = {"1": (4, 3), "2": (4, 5, 3), "4": (4, 5, 4, 5, 3)}
ACTIVATIONS: dict[str, type[ReLU | Tanh | Sigmoid]] = {"relu": ReLU, "tanh": Tanh, "sigmoid": Sigmoid}
OPTIMIZERS = {
    "plain": lambda: SGD(0.2),
    "momentum": lambda: SGD(0.1, 0.9),
    "nesterov": lambda: SGD(0.1, 0.9, nesterov=True),
    "decay": lambda: SGD(0.1, 0.8, nesterov=True, weight_decay=0.05),
}


def test_there_are_cases_of_every_kind() -> None:
    assert len(CASES) == (1 + 3 + 3) * 2 * 4


@pytest.mark.parametrize("case", CASES)
def test_losses_gradients_and_weights_agree_with_pytorchs(case: str) -> None:
    depth, activation, targets, optimizer_name = case.split()
    network, optimizer = make_network(WIDTHS[depth], ACTIVATIONS[activation]), OPTIMIZERS[optimizer_name]()
    network.theta[...] = STORED[f"{case} start"]
    losses = []
    for step in range(10):
        losses.append(network.forward(STORED["x"], STORED[targets]))
        network.backward()
        if step == 0:
            np.testing.assert_allclose(network.dtheta, STORED[f"{case} gradient"], rtol=0, atol=1e-12)
        optimizer.step(network)
    np.testing.assert_allclose(losses, STORED[f"{case} losses"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(network.theta, STORED[f"{case} end"], rtol=0, atol=1e-12)
    assert np.abs(network.theta - STORED[f"{case} start"]).max() > 0.01
