"""Does a trace hold every number of a step, as the real layers compute it, and leave the network as it is?"""

from typing import Any

import numpy as np
import pytest

from minnet import BatchNorm, Dropout, Linear, Network, ReLU, SoftmaxCrossEntropy
from minnet.lab.trace import first_nonfinite, trace


@pytest.fixture
def batch() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 3)), np.array([0, 1, 1, 0, 1]), np.array([1.0, 2, 3, 1, 0.5])


def test_every_number_of_a_step_is_there_by_its_name(batch: tuple[Any, Any, Any]) -> None:
    x, t, _ = batch
    network = Network([Linear(3, 4), ReLU(), Linear(4, 2)], dtype="float64")
    found = trace(network, x, t)
    forward = ["x", "0.W", "0.b", "0.z", "1.a", "2.W", "2.b", "2.z", "t", "y", "log_y", "loss"]
    backward = ["2.dz", "2.dW", "2.db", "1.da", "0.dz", "0.dW", "0.db", "dx"]
    assert list(found) == forward + backward
    z = x @ found["0.W"] + found["0.b"]
    np.testing.assert_array_equal(found["0.z"], z)
    np.testing.assert_array_equal(found["1.a"], np.maximum(z, 0))
    np.testing.assert_allclose(found["2.dz"], (found["y"] - found["t"]) / 5, rtol=1e-12)
    np.testing.assert_allclose(found["1.da"], found["2.dz"] @ found["2.W"].T, rtol=1e-12)
    np.testing.assert_allclose(found["dx"], found["0.dz"] @ found["0.W"].T, rtol=1e-12)
    assert found["loss"] == network.forward(x, t)
    network.backward()
    np.testing.assert_array_equal(np.concatenate([found["0.dW"].ravel(), found["0.db"].ravel()]), network.dtheta[:16])


def test_a_trace_weighs_samples_as_the_step_does(batch: tuple[Any, Any, Any]) -> None:
    x, t, w = batch
    network = Network([Linear(3, 2)], dtype="float64")
    found = trace(network, x, t, w)
    assert found["loss"] == network.forward(x, t, sample_weight=w) != network.forward(x, t)
    network.forward(x, t, sample_weight=w)
    network.backward()
    np.testing.assert_array_equal(found["0.dW"].ravel(), network.dtheta[:6])


def test_a_trace_changes_nothing_and_drops_what_was_dropped(batch: tuple[Any, Any, Any]) -> None:
    x, t, _ = batch
    layers = [Linear(3, 4), BatchNorm(4), Dropout(0.5), Linear(4, 2)]
    network = Network(layers, SoftmaxCrossEntropy(0.1), dtype="float64")
    loss = network.forward(x, t)
    theta, mask, views = network.theta.copy(), layers[2].mask.copy(), [layers[0].W, layers[0].dW]  # type: ignore[attr-defined]
    found = [trace(network, x, t) for _ in range(2)]
    np.testing.assert_array_equal(found[0]["2.a"], found[0]["1.a"] * mask)
    np.testing.assert_array_equal(found[0]["2.a"], found[1]["2.a"])
    assert found[0]["loss"] == loss
    np.testing.assert_array_equal(network.theta, theta)
    assert [layers[0].W, layers[0].dW][0] is views[0]  # type: ignore[attr-defined]
    network.backward()  # of the forward pass before the trace
    assert first_nonfinite(network, x, np.eye(2)[t]) == {}


def test_a_gradient_at_the_input_that_is_not_finite_is_the_first_layers(batch: tuple[Any, Any, Any]) -> None:
    class Spoiled(ReLU):
        def backward(self, da: Any) -> Any:
            return super().backward(da) * np.nan

    x, t, _ = batch
    found = first_nonfinite(Network([Spoiled(), Linear(3, 2)], dtype="float64"), x, np.eye(2)[t])
    assert found == {"where": "the gradient dx of layer 0, Spoiled()", "layer": 0, "array": "dx", "sample": 0}
