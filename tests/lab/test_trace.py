"""Does a trace hold every number of a step, as the real layers compute it, and leave the network as it is?"""

import random
from typing import Any

import numpy as np
import pytest

from minnet import BatchNorm, Dropout, Linear, Network, ReLU, SoftmaxCrossEntropy, explain
from minnet.lab.trace import first_nonfinite, trace
from minnet.layers import Array, Layer


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


class Fused(Linear):
    """It keeps what it had before the activation under the name that its output has."""

    def forward(self, x: Array) -> Any:
        self.z = super().forward(x)
        self.others = np.array([None, {}]), np.array(["text"])
        self.objects, self.text = self.others
        self.error = self.exact = self.new = np.ones(3)
        setattr(self, "W.error", np.ones(3))
        return np.tanh(self.z)

    def backward(self, dz: Array) -> Any:
        self.dz = dz * (1 - np.tanh(self.z) ** 2)
        return super().backward(self.dz)


class Slope:
    """PReLU, whose parameter is called a, in a class without a dictionary."""

    __slots__ = ("a", "da", "shapes", "x")
    a: Array
    da: Array

    def __init__(self, D: int) -> None:
        self.shapes = {"a": (1, D)}

    def initialize(self, rng: np.random.Generator, following: object) -> None:
        self.a[...] = 0.25

    def forward(self, x: Array) -> Any:
        self.x = x
        return np.where(x.real > 0, x, self.a * x)

    def backward(self, dz: Array) -> Any:
        self.da[...] = (dz * self.x * (self.x <= 0)).sum(axis=-2, keepdims=True)
        return dz * np.where(self.x > 0, 1, self.a)


def test_no_array_of_a_learners_layer_takes_anothers_name(batch: tuple[Any, Any, Any]) -> None:
    x, t, _ = batch
    layers: Any = [Fused(3, 4), Slope(4), Linear(4, 2)]
    network = Network(layers, dtype="float64")
    network.forward(x, t)
    network.backward()
    found = trace(network, x, t)
    np.testing.assert_array_equal(found["0.z"], np.tanh(x @ layers[0].W + layers[0].b))
    np.testing.assert_array_equal(found["1.a"], layers[1].a)
    np.testing.assert_array_equal(found["1.da"], layers[1].da)
    np.testing.assert_array_equal(found["1.dz"], found["2.dz"] @ layers[2].W.T)
    np.testing.assert_array_equal(found["0.dz"], found["1.dz"] * np.where(found["0.z"] > 0, 1, 0.25))
    assert all(array.dtype.kind in "biuf" for array in found.values())
    assert explain(network, x, t).wrong() == {}


class OwnNumbers(Layer):
    def __init__(self) -> None:
        self.rng, self.seen = np.random.default_rng(3), np.zeros(1)

    def forward(self, x: Array) -> Any:
        self.seen += 1
        self.mask = (self.rng.random(x.shape) + np.random.rand(*x.shape) + random.random()) > 1  # noqa: NPY002, S311
        return x * self.mask

    def backward(self, da: Array) -> Any:
        return da * self.mask


def test_a_trace_takes_no_random_number_of_a_learners_layer(batch: tuple[Any, Any, Any]) -> None:
    x, t, _ = batch
    layer = OwnNumbers()
    network = Network([Linear(3, 4), layer, Linear(4, 2)], dtype="float64")
    seen, told = layer.seen.copy(), (layer.rng.bit_generator.state, random.getstate(), str(np.random.get_state()))  # noqa: NPY002
    one, other = trace(network, x, t), trace(network, x, t)
    assert explain(network, x, t).wrong() == {}
    assert told == (layer.rng.bit_generator.state, random.getstate(), str(np.random.get_state()))  # noqa: NPY002
    np.testing.assert_array_equal(layer.seen, seen)
    np.testing.assert_array_equal(one["1.a"], other["1.a"])


def test_a_layer_whose_array_is_no_longer_the_networks_is_not_shown_as_if_it_were(batch: tuple[Any, Any, Any]) -> None:
    x, t, _ = batch
    network = Network([Linear(3, 2)], dtype="float64")
    network.layers[0].W = np.ones((3, 2))
    for show in (trace, explain):
        with pytest.raises(ValueError, match=r"layer 0, .*: W is another array now"):
            show(network, x, t)
