"""Does minnet compute what PyTorch computed? Held to numbers stored by make_pytorch_parity.py, within 1e-12.

The layers, losses and optimizers that came later are held within 1e-10.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import (
    SGD,
    Adam,
    BatchNorm,
    LayerNorm,
    LeakyReLU,
    Linear,
    Network,
    ReLU,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
)  # fmt: skip
from minnet.layers import Layer
from minnet.optimizers import Optimizer, clip_gradient
from tests.conftest import make_network

with np.load(Path(__file__).with_name("pytorch_parity.npz"), allow_pickle=False) as file:
    STORED = dict(file)
STARTS = sorted(name.removesuffix(" start") for name in STORED if name.endswith(" start"))
CASES = [name for name in STARTS if not name.startswith("feature")]
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


FEATURES: dict[str, dict[str, Any]] = {
    "batchnorm": {"layers": lambda: [BatchNorm(5), Tanh()]},
    "layernorm": {"layers": lambda: [LayerNorm(5), Tanh()]},
    "leaky": {"layers": lambda: [LeakyReLU(0.1)]},
    "adam": {"optimizer": lambda: Adam(0.05)},
    "adam-decay": {"optimizer": lambda: Adam(0.05, 0.8, 0.95, weight_decay=0.1)},
    "smoothing": {"output": SoftmaxCrossEntropy(label_smoothing=0.2)},
    "class-weights": {"output": SoftmaxCrossEntropy(class_weight=[0.5, 2, 1])},
    "clipping": {"clip": 0.2},
    "all": {
        "layers": lambda: [BatchNorm(5), LeakyReLU(0.2), LayerNorm(5)],
        "output": SoftmaxCrossEntropy(class_weight=[0.5, 2, 1]),
        "clip": 0.2,
    },
}


def test_every_feature_stored_is_tried() -> None:
    assert sorted(f"feature {name}" for name in FEATURES) == [name for name in STARTS if name not in CASES]


@pytest.mark.parametrize("stacked", [False, True], ids=["single", "stack"])
@pytest.mark.parametrize("name", FEATURES)
def test_layers_losses_and_optimizers_agree_with_pytorchs(name: str, stacked: bool) -> None:
    feature, stored = FEATURES[name], {key: STORED[f"feature {name} {key}"] for key in ("start", "gradient", "end")}
    between: Callable[[], list[Layer]] = feature.get("layers", lambda: [Tanh()])
    layers = [Linear(4, 5), *between(), Linear(5, 3)]
    network = Network(layers, feature.get("output"), [1, 2] if stacked else 1, "float64")
    optimizer: Optimizer = feature.get("optimizer", lambda: SGD(0.1, 0.9))()
    names = [(name, np.prod(shape)) for layer in layers for name, shape in layer.shapes.items()]
    learned = np.concatenate([np.full(size, not name.startswith("running_")) for name, size in names])
    network.theta[..., learned] = stored["start"]
    losses = []
    for step in range(10):
        losses.append(network.forward(STORED["x"], STORED["hard"]))
        network.backward()
        if step == 0:
            gradient = np.broadcast_to(stored["gradient"], network.dtheta[..., learned].shape)
            np.testing.assert_allclose(network.dtheta[..., learned], gradient, rtol=0, atol=1e-10)
            assert not network.dtheta[..., ~learned].any()
        if "clip" in feature:
            clip_gradient(network, np.vecdot(network.dtheta, network.dtheta), feature["clip"])
        optimizer.step(network)

    def agrees(ours: Any, key: str) -> None:
        theirs = STORED[f"feature {name} {key}"]
        shaped = theirs[:, np.newaxis] if key == "losses" and stacked else theirs
        np.testing.assert_allclose(ours, np.broadcast_to(shaped, np.shape(ours)), rtol=0, atol=1e-10)

    agrees(losses, "losses")
    agrees(network.theta[..., learned], "end")
    agrees(network.theta[..., ~learned], "running")
    agrees(network.logits(STORED["x"]), "logits")  # after training: with the running averages
    assert np.abs(stored["end"] - stored["start"]).max() > 0.01
