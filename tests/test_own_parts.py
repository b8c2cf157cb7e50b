"""Have layers and output layers that a learner writes the rights of minnet's own, and mistakes in them a message?"""

from typing import Any

import numpy as np
import pytest

from minnet import (
    SGD,
    BatchNorm,
    Dataset,
    LeakyReLU,
    Linear,
    Network,
    ReLU,
    SoftmaxCrossEntropy,
    check_gradients,
    evaluate,
    load_dataset,
    save,
    train,
)
from minnet.lab.trace import trace
from minnet.layers import Array
from minnet.optimizers import clip_gradient
from minnet.runs.model import Model


@pytest.fixture(scope="module")
def iris() -> Dataset:
    return load_dataset("iris")


class MyLinear:
    """The README's layer, without its mistake; it says nothing of its widths."""

    def __init__(self, D: int, H: int) -> None:
        self.shapes = {"W": (D, H), "b": (1, H)}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b  # type: ignore[attr-defined]

    def backward(self, dz: Any) -> Any:
        self.dW[...] = self.x.mT @ dz  # type: ignore[attr-defined]
        self.db[...] = dz.sum(axis=-2, keepdims=True)  # type: ignore[attr-defined]
        return dz @ self.W.mT  # type: ignore[attr-defined]


class MyReLU:
    def forward(self, x: Any) -> Any:
        self.x = x
        return np.maximum(x, 0)

    def backward(self, da: Any) -> Any:
        return da * (self.x > 0)


def mine(*layers: Any, **settings: Any) -> Network:
    return Network(list(layers), **settings)


def test_a_network_of_ones_own_layers_is_minnets_own(iris: Dataset, tmp_path: Any) -> None:
    own = mine(MyLinear(4, 8), MyReLU(), MyLinear(8, 3), seed=5)
    ours = Network([Linear(4, 8), ReLU(), Linear(8, 3)], seed=5)
    np.testing.assert_array_equal(own.theta, ours.theta)
    assert (own.D, own.K) == (4, 3)
    assert check_gradients(own, iris.train.x[:8], iris.train.t[:8]).error < 1e-12
    train(own, SGD(0.1, 0.9), iris, 5)
    train(ours, SGD(0.1, 0.9), iris, 5)
    np.testing.assert_array_equal(own.theta, ours.theta)
    np.testing.assert_array_equal(own.predict(iris.test.x), ours.predict(iris.test.x))
    assert "MyLinear" in str(own)
    assert "2.dz" in trace(own, iris.train.x, iris.train.t)
    with pytest.raises(TypeError, match="cannot be saved: a model file holds only minnet's own layers"):
        save(tmp_path / "m.safetensors", Model.of(own, iris))


def test_a_stack_of_ones_own_layers_trains(iris: Dataset) -> None:
    stack = mine(MyLinear(4, 8), MyReLU(), MyLinear(8, 3), seed=[1, 2])
    assert np.array(train(stack, SGD(0.1), iris, 2).train_loss).shape == (2, 2)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [MyLinear(4, 8), MyReLU(), MyLinear(7, 3)],
            "MyReLU gives 8 outputs, but the next, MyLinear, cannot take them",
        ),
        ([Linear(4, 8), MyReLU(), Linear(7, 3)], r"MyReLU gives 8 outputs, but the next, Linear\(7, 3\), cannot"),
        ([MyLinear(4, 8), BatchNorm(9)], r"MyLinear gives 8 outputs, but the next, BatchNorm\(9\), cannot"),
    ],
)
def test_neighbours_that_do_not_fit_are_named_whoever_wrote_them(layers: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mine(*layers)


class Noise:
    random: Any = None

    def forward(self, x: Array) -> Array:
        self.factor = 0.5 + self.random.uniform(x.shape[-2:])
        return np.asarray(x * self.factor, x.dtype)

    def backward(self, da: Array) -> Array:
        return np.asarray(da * self.factor, da.dtype)


@pytest.mark.parametrize("seed", [0, (0, 1)])
def test_a_layer_that_draws_random_numbers_whatever_it_is_asked_trains(seed: Any, iris: Dataset) -> None:
    network = Network([Linear(4, 8), Noise(), Linear(8, 3)], seed=seed)  # type: ignore[list-item]
    history = train(network, SGD(0.1), iris, 2, 16)
    assert np.all(np.isfinite(history.train_loss))


def test_a_weight_that_initialize_binds_anew_is_an_error_that_names_the_line() -> None:
    class Rebinding(MyLinear):
        def initialize(self, rng: np.random.Generator, following: object) -> None:
            self.W = rng.normal(0, 0.1, (4, 3))

    with pytest.raises(ValueError, match=r"layer 0, Rebinding: W is another array now.* write self\.W\[\.\.\.\] = …"):
        mine(Rebinding(4, 3))


def test_a_weight_bound_from_outside_is_an_error_and_a_check_binds_nothing(iris: Dataset) -> None:
    network = Network([Linear(4, 8), ReLU(), Linear(8, 3)])
    layer: Any = network.layers[0]
    new = np.zeros((4, 8), np.float32)
    layer.W = new
    said = r"layer 0, Linear\(4, 8\): W is another array now.*network\.layers\[0\]\.W\[\.\.\.\] = …"
    with pytest.raises(ValueError, match=said):
        train(network, SGD(0.1), iris, 1)
    with pytest.raises(ValueError, match=said):
        check_gradients(network, iris.train.x[:4], iris.train.t[:4])
    network.at(network.theta.copy())
    assert layer.W is new


def test_a_gradient_that_backward_binds_anew_is_an_error_too(iris: Dataset) -> None:
    class Forgets(MyLinear):
        def backward(self, dz: Any) -> Any:
            self.dW = self.x.mT @ dz
            return dz

    with pytest.raises(ValueError, match="layer 0, Forgets: dW is another array now"):
        train(mine(Forgets(4, 3)), SGD(0.1), iris, 1)


class OwnForward(SoftmaxCrossEntropy):
    """Cross-entropy as one writes it first, which says nothing of any weights."""

    def forward(self, z: Array, t: Array) -> Array:  # type: ignore[override]
        super().forward(z, t)
        loss: Array = -(t * np.log(self.y)).sum(axis=(-2, -1)) / z.shape[-2]
        return loss


class NotASubclass:
    def forward(self, z: Array, t: Array) -> Array:
        y = np.exp(z - z.max(axis=-1, keepdims=True))
        self.y, self.t = y / y.sum(axis=-1, keepdims=True), t
        loss: Array = -(t * np.log(self.y)).sum(axis=(-2, -1)) / z.shape[-2]
        return loss

    def backward(self) -> Array:
        dz: Array = (self.y - self.t) / self.y.shape[-2]
        return dz

    def probabilities(self, z: Array) -> Array:
        y = np.exp(z)
        return np.asarray(y / y.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("output", [OwnForward, NotASubclass])
def test_an_output_layer_with_its_own_forward_reports_its_losses(output: type[Any], iris: Dataset) -> None:
    network = Network([Linear(4, 3)], output(), dtype="float64")
    ours = Network([Linear(4, 3)], dtype="float64")
    history, expected = (train(each, SGD(0.1), iris, 4, patience=2) for each in (network, ours))
    np.testing.assert_allclose(history.train_loss, expected.train_loss, rtol=1e-12)
    np.testing.assert_array_equal(history.kept, expected.kept)
    assert evaluate(network, *iris.test)[0] == pytest.approx(evaluate(ours, *iris.test)[0], rel=1e-12)
    with pytest.raises(TypeError, match=r"forward\(\) takes 3 positional arguments but 4 were given"):
        network.forward(*iris.train, sample_weight=np.ones(len(iris.train.x)))


def test_the_gain_of_a_leaky_rectifier_is_what_it_lets_through() -> None:
    def deviation(activation: Any) -> float:
        return float(mine(Linear(400, 400), activation, Linear(400, 2)).layers[0].W.std())

    assert deviation(LeakyReLU(0.5)) == pytest.approx(np.sqrt(2 / 1.25 / 400), rel=0.01)
    assert deviation(ReLU()) == deviation(MyReLU()) == pytest.approx(np.sqrt(2 / 400), rel=0.01)


def test_weights_of_any_size_make_a_mean() -> None:
    z, t = np.random.default_rng(0).normal(size=(3, 4)), np.eye(4)[:3]
    output = SoftmaxCrossEntropy()
    for size in (1e-30, 1e-4, 1.0):
        assert output.forward(z, t, np.full(3, size)) == pytest.approx(output.forward(z, t), rel=1e-12)


def test_a_network_with_a_single_nan_has_no_say_in_an_ensemble(iris: Dataset) -> None:
    stack = Network([Linear(4, 3)], seed=[1, 2, 3], dtype="float64")
    stack.theta[1, :4] = 1e308  # which overflows for some samples only
    x = np.vstack([np.zeros(4), np.full(4, 10.0)])
    each = stack.predict_proba(x)
    assert np.isfinite(each[1, 0]).all()
    assert not np.isfinite(each[1]).all()
    np.testing.assert_allclose(stack.predict_proba(x, average=True), each[[0, 2]].mean(axis=0))


def test_a_gradient_of_infinite_norm_is_left_as_it_is() -> None:
    network = Network([Linear(2, 2)])
    network.dtheta[...] = 1
    clip_gradient(network, np.float32(np.inf), 0.1)
    np.testing.assert_array_equal(network.dtheta, 1)


def test_a_slice_of_a_stack_is_refused_in_a_sentence() -> None:
    with pytest.raises(TypeError, match=r"expected the number of one network .* got slice\(1, 2, None\) of Network"):
        Network([Linear(2, 2)], seed=[1, 2])[1:2]  # type: ignore[index]


def test_a_schedule_of_another_length_is_refused(iris: Dataset) -> None:
    class Short:
        def factors(self, epoch: int, steps: int, epochs: int, validation_losses: Any) -> Array:
            return np.ones(2)

    with pytest.raises(ValueError, match=r"expected factors of shape \(4, …\), a step each, got \(2,\)"):
        train(Network([Linear(4, 3)]), SGD(0.1), iris, 1, schedule=Short())


def test_a_single_sample_whose_answer_is_not_finite_is_named() -> None:
    network = Network([Linear(2, 2)])
    network.theta[...] = 1e10
    with pytest.raises(FloatingPointError, match="the network's answer to row 2 is not finite"):
        network.predict(np.array([[0.0, 0.0], [1e38, 1e38]], np.float32))


@pytest.mark.parametrize("names", [("a.b",), ("",), ("W", "dW"), (0,), ("\x1b[31m",)])
def test_names_of_parameters_that_no_attribute_can_have_are_refused(names: Any) -> None:
    class Named:
        def __init__(self) -> None:
            self.shapes = dict.fromkeys(names, (1, 4))

        def forward(self, x: Array) -> Any:
            return x

        backward = forward

    with pytest.raises(ValueError, match="Named shapes: expected names of parameters such as W") as raised:
        Network([Linear(4, 4), Named()])  # type: ignore[list-item]
    assert str(raised.value).isprintable()
