"""Does the check pass what is right and fail what is wrong? A check that cannot fail proves nothing."""

import copy

import numpy as np
import pytest

from minnet import Linear, Network, ReLU, Sigmoid, SoftmaxCrossEntropy, Tanh, check_gradients, load_dataset
from minnet import gradient_check as module
from minnet.layers import Array
from tests.conftest import ACTIVATIONS, make_network


def test_every_gradient_of_the_default_network_on_digits_is_right() -> None:
    dataset = load_dataset("digits")
    network = Network([Linear(64, 64), ReLU(), Linear(64, 10)])
    check = check_gradients(network, dataset.train.x[:16], dataset.train.t[:16])
    assert check.error <= 1e-12


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", [(4, 3), (4, 5, 3), (4, 5, 6, 3), (4, 5, 6, 5, 3)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_gradient_is_right(
    batch: tuple[Array, Array], activation: type[ReLU | Tanh | Sigmoid], widths: tuple[int, ...], dtype: str
) -> None:
    network = make_network(widths, activation, dtype)
    before = network.theta.copy()
    assert check_gradients(network, *batch).error <= 1e-13
    soft = np.random.default_rng(0).dirichlet(np.ones(3), size=6)
    assert check_gradients(network, batch[0], soft).error <= 1e-13
    np.testing.assert_array_equal(network.theta, before)


class WrongLinear(Linear):
    """A Linear that makes one mistake in its backward pass, by name."""

    mistake = ""

    def backward(self, dz: Array) -> Array | None:
        """Go wrong."""
        dx = super().backward(dz)
        if self.mistake == "dW":
            self.dW *= 1.0001
        if self.mistake == "db":
            self.db[...] = dz.mean(axis=-2, keepdims=True)
        if self.mistake == "dx" and dx is not None:
            dx = dx[..., ::-1]
        return dx


class WrongReLU(ReLU):
    """A ReLU that lets every gradient through."""

    def backward(self, da: Array) -> Array:
        """Go wrong."""
        return da


class WrongTanh(Tanh):
    """A tanh with the derivative of its square root."""

    def backward(self, da: Array) -> Array:
        """Go wrong."""
        assert self.a is not None
        dx: Array = da * (1 - self.a)
        return dx


class WrongSigmoid(Sigmoid):
    """A sigmoid that forgets half of its derivative."""

    def backward(self, da: Array) -> Array:
        """Go wrong."""
        assert self.a is not None
        dx: Array = da * self.a
        return dx


class WrongOutput(SoftmaxCrossEntropy):
    """An output layer that forgets the mean."""

    def backward(self) -> Array:
        """Go wrong."""
        assert self.y is not None
        return super().backward() * float(self.y.shape[-2])


@pytest.mark.parametrize(
    ("place", "wrong", "mistake"),
    [
        (0, WrongLinear(4, 5), "dW"),
        (0, WrongLinear(4, 5), "db"),
        (2, WrongLinear(5, 5), "dW"),
        (2, WrongLinear(5, 5), "db"),
        (2, WrongLinear(5, 5), "dx"),
        (1, WrongReLU(), ""),
        (3, WrongTanh(), ""),
        (5, WrongSigmoid(), ""),
        ("output", WrongOutput(), ""),
    ],
)
def test_any_single_broken_backward_is_found(
    batch: tuple[Array, Array], place: int | str, wrong: object, mistake: str
) -> None:
    def make(broken: bool) -> Network:
        layers: list[object] = [Linear(4, 5), ReLU(), Linear(5, 5), Tanh(), Linear(5, 5), Sigmoid(), Linear(5, 3)]
        output = SoftmaxCrossEntropy()
        if broken and isinstance(place, int):
            layers[place] = copy.copy(wrong)
            if isinstance(wrong, WrongLinear):
                layers[place].mistake = mistake  # type: ignore[attr-defined]
        elif broken:
            output = WrongOutput()
        network = Network(layers, output, dtype="float64")  # type: ignore[arg-type]
        network.theta += np.random.default_rng(0).normal(0, 0.3, network.theta.size)
        return network

    assert check_gradients(make(False), *batch).error <= 1e-13
    check = check_gradients(make(True), *batch)
    assert check.error > 1e-6
    if mistake in ("dW", "db"):
        assert (check.layer, check.parameter) == (place, mistake[1:])


def test_the_check_says_where_and_by_how_much(batch: tuple[Array, Array]) -> None:
    class OneEntryWrong(Linear):
        def backward(self, dz: Array) -> Array | None:
            dx = super().backward(dz)
            self.dW[2, 1] += 0.5
            return dx

    network = Network([Linear(4, 5), Tanh(), OneEntryWrong(5, 3)], dtype="float64")
    check = check_gradients(network, *batch)
    assert (check.layer, check.parameter, check.entry) == (2, "W", (2, 1))
    assert check.analytic - check.numeric == pytest.approx(0.5, rel=1e-12)
    numeric = module.numeric_gradient(network, *batch)
    assert check.error == pytest.approx(0.5 / np.abs(numeric[25:40]).max(), rel=1e-12)


def test_a_nan_gradient_is_the_largest_error(batch: tuple[Array, Array]) -> None:
    class NaNEntry(Linear):
        def backward(self, dz: Array) -> Array | None:
            dx = super().backward(dz)
            self.db[0, 1] = np.nan
            return dx

    check = check_gradients(Network([NaNEntry(4, 3)], dtype="float64"), *batch)
    assert check.error == np.inf
    assert (check.parameter, check.entry) == ("b", (0, 1))


def test_the_complex_step_agrees_with_central_differences(batch: tuple[Array, Array]) -> None:
    network = make_network()
    numeric = module.numeric_gradient(network, *batch)
    for k in range(network.theta.size):
        step = 1e-5 * (np.arange(network.theta.size) == k)
        slope = (
            network.at(network.theta + step).forward(*batch) - network.at(network.theta - step).forward(*batch)
        ) / 2e-5
        assert numeric[k] == pytest.approx(slope, abs=1e-9)


def test_slices_give_what_one_stack_gives(batch: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = module.numeric_gradient(make_network(), *batch)
    monkeypatch.setattr("minnet.support.fit.rows_at_a_time", lambda network, N: 7)
    np.testing.assert_array_equal(module.numeric_gradient(make_network(), *batch), whole)


def test_a_comparison_of_zeros_is_an_error(batch: tuple[Array, Array]) -> None:
    network = make_network((4, 3))
    network.theta[...] = 0
    with pytest.raises(ValueError, match="checked nothing"):
        check_gradients(network, batch[0], np.full((6, 3), 1 / 3))
