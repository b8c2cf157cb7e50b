"""Does automatic differentiation of the layers' forward find the very gradients that their backward computes?

On its side of each comparison no backward is called: NumPy runs the layers' own forward on `Value` objects.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minnet.layers
from minnet import (
    BatchNorm,
    Dropout,
    LayerNorm,
    LeakyReLU,
    Linear,
    Network,
    ReLU,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
)  # fmt: skip
from minnet.lab.autodiff import Value, from_the_end, gradients, values
from minnet.lab.explain import tiny
from minnet.layers import Array, Layer, Normalization
from minnet.network import bind
from minnet.output import mean_loss
from minnet.runs.calibration import Temperature
from minnet.support.fit import slots

N, D, K = 5, 4, 3
rng = np.random.default_rng(0)
X = rng.normal(size=(N, D))
ONE_HOT, SOFT = np.eye(K)[[0, 2, 1, 1, 0]], rng.dirichlet(np.ones(K), N)
WEIGHTS = np.array([1.0, 2.0, 0.5, 0.0, 3.0])
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "a + b": lambda a, b: a + b,
    "2 + a": lambda a, b: 2 + a,
    "a - b": lambda a, b: a - b,
    "2 - a": lambda a, b: 2 - a,
    "a * b": lambda a, b: a * b,
    "2 * a": lambda a, b: 2 * a,
    "a / b": lambda a, b: a / b,
    "2 / a": lambda a, b: 2 / a,
    "-a": lambda a, b: -a,
    "a ** 3": lambda a, b: a**3,
    "exp": lambda a, b: np.exp(a),
    "log": lambda a, b: np.log(a),
    "tanh": lambda a, b: np.tanh(a),
    "sqrt": lambda a, b: np.sqrt(a),
    "a used three times": lambda a, b: a * a * b + a,
    "all of them": lambda a, b: np.exp(np.tanh(a / b) - np.log(a) * np.sqrt(b)) / (1 + a**2 * -b),
}


def dropout(*shape: int) -> Dropout:
    """Return a dropout layer whose mask is given."""
    layer = Dropout(0.25)
    layer.mask = np.array(rng.uniform(size=shape) >= 0.25) / 0.75
    return layer


class WeightedSum:
    """An output layer that hands any gradient to the layer before it: C = Σ t z, dz = t."""

    def forward(self, z: Array, t: Array) -> Any:
        self.t = t
        return (t * z).sum()

    def backward(self) -> Array:
        return self.t


ALONE = [
    Linear(D, K), ReLU(), LeakyReLU(0.1), Tanh(), Sigmoid(), dropout(N, D), BatchNorm(D), LayerNorm(D), Temperature(D),
]  # fmt: skip
NETWORKS = {
    "two layers": [Linear(D, 6), ReLU(), Linear(6, K)],
    "activations": [Linear(D, 6), LeakyReLU(), Linear(6, 6), Tanh(), Linear(6, 6), Sigmoid(), Linear(6, K)],
    "normalised": [Linear(D, 6), BatchNorm(6), ReLU(), Linear(6, 5), LayerNorm(5), Tanh(), Linear(5, K)],
    "dropout, temperature": [dropout(N, D), Linear(D, 8), Tanh(), dropout(N, 8), Linear(8, K), Temperature(K)],
    "a ReLU at its end": [Linear(D, 6), ReLU(), Linear(6, K), ReLU()],
}
OUTPUTS: dict[str, tuple[SoftmaxCrossEntropy, Array, Array | None]] = {
    "one-hot": (SoftmaxCrossEntropy(), ONE_HOT, None),
    "soft targets": (SoftmaxCrossEntropy(), SOFT, None),
    "label smoothing": (SoftmaxCrossEntropy(label_smoothing=0.1), ONE_HOT, None),
    "class weights": (SoftmaxCrossEntropy(class_weight=[1, 2, 0.5]), ONE_HOT, None),
    "sample weights": (SoftmaxCrossEntropy(), ONE_HOT, WEIGHTS),
    "all three": (SoftmaxCrossEntropy(0.2, [1, 2, 0.5]), SOFT, WEIGHTS),
}


def random_theta(layers: list[Any]) -> Array:
    """Return a parameter vector for layers in a row, with no 0 and no 1 in it."""
    size = max([slot.entries.stop for slot in slots(layers)], default=0)
    return np.random.default_rng(1).normal(size=size)


def loss_of(layers: list[Any], output: Any, x: Array, t: Array, sample_weight: Array | None) -> Any:
    for layer in layers:
        x = layer.forward(x)
    return mean_loss(output, x, t, sample_weight)


def slopes(output: Value, of: Array) -> Array:
    """∂output/∂v for each entry v of an array of values."""
    found = gradients(output)
    return np.array([found[value] for value in of.flat]).reshape(of.shape)


def by_autodiff(layers: list[Any], output: Any, theta: Array, x: Array, *targets: Any) -> dict[str, Any]:
    """The loss, dtheta and dx as automatic differentiation of forward finds them."""
    layers, output = list(map(copy.copy, layers)), copy.copy(output)
    theta, x = values(theta), values(x)
    bind(layers, theta.copy(), np.full(theta.shape, np.nan))
    loss = loss_of(layers, output, x, *targets)
    return {"loss": loss.number, "dtheta": slopes(loss, theta), "dx": slopes(loss, x)}


def by_backward(layers: list[Any], output: Any, theta: Array, x: Array, *targets: Any) -> dict[str, Any]:
    """The loss, dtheta and dx as the layers' backward computes them."""
    layers, dtheta = list(map(copy.copy, layers)), np.zeros(theta.shape)
    bind(layers, theta.copy(), dtheta)
    loss = loss_of(layers, output, x, *targets)
    doutput = output.backward()
    for layer in reversed(layers):
        layer.needs_dx = True  # which a network turns off in its first layer
        doutput = layer.backward(doutput)
    return {"loss": loss, "dtheta": dtheta, "dx": doutput}


def agree(*arguments: Any) -> None:
    found = by_autodiff(*arguments)
    for name, expected in by_backward(*arguments).items():
        largest = np.abs(expected).max(initial=0)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-12 * largest, err_msg=name)
        assert largest > 1e-6 or name == "dtheta", "there is nothing to compare"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_operation_has_the_slopes_that_complex_steps_find(name: str) -> None:
    function, a, b = FUNCTIONS[name], Value(1.3), Value(0.7)
    output = function(a, b)
    found = gradients(output)
    assert output.number == pytest.approx(function(1.3, 0.7), rel=1e-14)
    assert found[a] == pytest.approx(np.imag(function(1.3 + 1e-30j, 0.7)) / 1e-30, rel=1e-14)
    assert found[b] == pytest.approx(np.imag(function(1.3, 0.7 + 1e-30j)) / 1e-30, rel=1e-14)


def test_a_value_used_twice_gets_the_sum_over_both_paths_and_one_without_a_path_gets_0() -> None:
    x, alone = Value(3.0), Value(5.0)
    u, v = 2 * x, x + 1
    found = gradients(u * v)
    assert (found[u], found[v], found[x], found[alone]) == (4, 6, 4 * 2 + 6 * 1, 0)
    assert gradients(x * x)[x] == 6


def test_each_value_comes_once_and_before_what_it_was_computed_from() -> None:
    layers = list(map(copy.copy, NETWORKS["normalised"]))
    x, theta = values(X), values(random_theta(layers))
    bind(layers, theta.copy(), np.zeros(theta.shape))
    order = from_the_end(loss_of(layers, SoftmaxCrossEntropy(), x, ONE_HOT, None))
    place = {value: i for i, value in enumerate(order)}
    assert len(place) == len(order)
    assert all(place[value] < place[each] for value in order for each, _ in value.inputs)
    assert set(x.flat) < set(order)


def test_a_sum_may_be_longer_than_functions_can_be_nested() -> None:
    x = values(np.ones(20_000))
    np.testing.assert_array_equal(slopes((x * x).sum(), x), 2)


def test_a_value_shows_its_number_and_is_compared_by_it() -> None:
    a, b = Value(1), Value(2.5)
    assert (repr(a), repr(b)) == ("Value(1.0)", "Value(2.5)")
    assert [a < b, a <= b, a > b, a >= b] == [True, True, False, False]
    assert [a < 1, a <= 1, a > 1, a >= 1, max(0, a) is a, max(2, a)] == [False, True, False, True, True, 2]


def test_every_layer_that_minnet_has_is_compared() -> None:
    classes = [each for each in vars(minnet.layers).values() if isinstance(each, type)]
    own = {each for each in classes if Layer in each.__mro__}
    compared = {type(layer) for layer in ALONE}
    assert own - compared == {Layer, Normalization}
    assert compared - own == {Temperature}


@pytest.mark.parametrize("layer", ALONE, ids=repr)
def test_a_layers_backward_is_what_autodiff_finds_of_its_forward(layer: Any) -> None:
    width = K if isinstance(layer, Linear) else D
    agree([layer], WeightedSum(), random_theta([layer]), X, rng.normal(size=(N, width)), None)


@pytest.mark.parametrize("case", OUTPUTS)
def test_the_output_layers_backward_is_what_autodiff_finds_of_its_forward(case: str) -> None:
    output, t, sample_weight = OUTPUTS[case]
    agree([], output, np.zeros(0), 3 * rng.normal(size=(N, K)), t, sample_weight)


@pytest.mark.parametrize("case", OUTPUTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_networks_backward_is_what_autodiff_finds_of_its_forward(name: str, case: str) -> None:
    layers, (output, t, sample_weight) = NETWORKS[name], OUTPUTS[case]
    agree(layers, output, random_theta(layers), X, t, sample_weight)


def test_the_dtheta_of_a_network_is_found_as_well() -> None:
    network = Network([Linear(D, 6), Tanh(), BatchNorm(6), Linear(6, K)], seed=3, dtype="float64")
    found = by_autodiff(network.layers, network.output, network.theta.copy(), X, ONE_HOT, None)
    assert found["loss"] == pytest.approx(network.forward(X, ONE_HOT), rel=1e-12)
    network.backward()
    np.testing.assert_allclose(found["dtheta"], network.dtheta, rtol=1e-12, atol=1e-13)


def test_the_tiny_networks_gradients_are_found_as_well() -> None:
    network, _, dataset = tiny()
    x, t, _ = network.check(*dataset.train)
    agree(network.layers, network.output, network.theta, x, t, None)


def test_a_wrong_backward_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = NETWORKS["two layers"]
    monkeypatch.setattr(ReLU, "backward", lambda self, da: da * (self.z >= -1))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agree(layers, SoftmaxCrossEntropy(), random_theta(layers), X, ONE_HOT, None)
