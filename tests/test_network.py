"""Is a network one function of one vector, and does it refuse what it cannot compute?"""

import copy
from typing import Any, ClassVar

import numpy as np
import pytest

from minnet import Linear, Network, ReLU, Tanh, check_gradients
from minnet.gradient_check import numeric_gradient
from minnet.layers import Array
from minnet.support import expect
from tests.conftest import make_network


def test_every_parameter_is_a_view_into_theta_and_stays_one(batch: tuple[Array, Array]) -> None:
    network = make_network()
    for _ in range(2):
        network.forward(*batch)
        network.backward()
    at = 0
    for layer in network.layers:
        for name, shape in layer.shapes.items():
            for attribute, flat in ((name, network.theta), ("d" + name, network.dtheta)):
                view = getattr(layer, attribute)
                assert view.shape == shape
                assert np.shares_memory(view, flat)
                np.testing.assert_array_equal(view.ravel(), flat[at : at + view.size])
            at += int(np.prod(shape))
    assert at == network.theta.size == network.dtheta.size == network.decays.size
    network.theta[...] = 0
    assert not any(layer.W.any() for layer in network.layers if isinstance(layer, Linear))


def test_decay_touches_weights_only() -> None:
    network = make_network((2, 3, 2))
    assert network.decays.sum() == 2 * 3 + 3 * 2
    network.theta[network.decays] = 0
    for layer in network.layers:
        if isinstance(layer, Linear):
            assert not layer.W.any()
            assert layer.b.all()


def test_forward_and_backward_agree_with_another_way_to_write_them(batch: tuple[Array, Array]) -> None:
    """One hidden layer, sample by sample, by the scalar formulas."""
    network = make_network((4, 5, 3))
    loss = network.forward(*batch)
    network.backward()
    first, _, last = network.layers
    assert isinstance(first, Linear)
    assert isinstance(last, Linear)
    total, dW2, dW1 = 0.0, np.zeros((5, 3)), np.zeros((4, 5))
    for x, t in zip(*batch, strict=True):
        a = np.array([np.tanh(sum(x[i] * first.W[i, j] for i in range(4)) + first.b[0, j]) for j in range(5)])
        z = np.array([sum(a[j] * last.W[j, k] for j in range(5)) + last.b[0, k] for k in range(3)])
        y = np.exp(z) / np.exp(z).sum()
        total -= np.log(y[t]) / 6
        dz = (y - np.eye(3)[t]) / 6
        dW2 += np.outer(a, dz)
        dW1 += np.outer(x, (last.W @ dz) * (1 - a**2))
    assert loss == pytest.approx(total, rel=1e-13)
    np.testing.assert_allclose(last.dW, dW2, rtol=1e-12)
    np.testing.assert_allclose(first.dW, dW1, rtol=1e-12)


def test_gradients_do_not_depend_on_the_size_of_the_batch(batch: tuple[Array, Array]) -> None:
    network = make_network()
    x, t = batch
    network.forward(x, t)
    network.backward()
    once = network.dtheta.copy()
    network.forward(np.tile(x, (3, 1)), np.tile(t, 3))
    network.backward()
    np.testing.assert_allclose(network.dtheta, once, rtol=1e-12)


def test_backward_can_be_repeated_and_accumulates_nothing(batch: tuple[Array, Array]) -> None:
    network = make_network()
    network.forward(*batch)
    network.backward()
    first = network.dtheta.copy()
    network.backward()
    np.testing.assert_array_equal(network.dtheta, first)


def test_a_stack_gives_what_its_members_give(batch: tuple[Array, Array]) -> None:
    network = make_network((4, 5, 6, 3), activation=ReLU)
    thetas = network.theta + np.random.default_rng(0).normal(0, 0.3, (3, network.theta.size))
    stack = network.at(thetas)
    losses = stack.forward(*batch)
    stack.backward()
    assert losses.shape == (3,)
    for s, theta in enumerate(thetas):
        single = network.at(theta)
        assert single.forward(*batch) == pytest.approx(losses[s], rel=1e-13)
        single.backward()
        np.testing.assert_allclose(stack.dtheta[s], single.dtheta, rtol=1e-10, atol=1e-15)
        np.testing.assert_array_equal(stack.predict(batch[0])[s], single.predict(batch[0]))


def test_another_point_is_independent_of_this_one(batch: tuple[Array, Array]) -> None:
    network = make_network()
    loss = network.forward(*batch)
    other = network.at(np.zeros_like(network.theta))
    assert other.forward(*batch) == pytest.approx(np.log(3), rel=1e-14)
    other.backward()
    assert not network.dtheta.any()
    assert network.forward(*batch) == loss
    for shape in ((42,), (2, 2, 43)):
        with pytest.raises(ValueError, match=r"expected theta of shape \(43,\) or \(S, …\), got \("):
            make_network((4, 5, 3)).at(np.zeros(shape))


def test_another_points_forward_leaves_this_ones_backward_alone(batch: tuple[Array, Array]) -> None:
    network = make_network()
    network.forward(*batch)
    network.at(np.zeros_like(network.theta)).forward(*batch)
    network.backward()
    assert check_gradients(network, *batch).error < 1e-13
    np.testing.assert_allclose(network.dtheta, numeric_gradient(network, *batch), atol=1e-14)


def test_backward_without_a_forward_of_its_own_says_so(batch: tuple[Array, Array]) -> None:
    network = make_network()
    with pytest.raises(RuntimeError, match=r"backward was called before forward: call forward\(x, t\) first"):
        network.backward()
    network.forward(*batch)
    network.predict(batch[0][:2])
    with pytest.raises(RuntimeError, match="logits and predict do not count"):
        network.backward()
    network.forward(*batch)
    with pytest.raises(RuntimeError):
        network.at(network.theta.copy()).backward()


def test_predictions_agree_with_the_loss_and_belong_to_the_caller(batch: tuple[Array, Array]) -> None:
    network, (x, t) = make_network(), batch
    y = network.predict_proba(x)
    assert network.forward(x, t) == pytest.approx(-np.log(y[np.arange(6), t]).mean(), rel=1e-13)
    np.testing.assert_array_equal(network.predict(x), y.argmax(axis=1))
    kept, z = y.copy(), network.logits(x)
    z_kept = z.copy()
    network.predict_proba(x + 1)
    np.testing.assert_array_equal(y, kept)
    np.testing.assert_array_equal(z, z_kept)
    z[...] = 0
    np.testing.assert_array_equal(network.predict_proba(x), kept)


def test_the_first_layers_dx_is_computed_only_on_request(batch: tuple[Array, Array]) -> None:
    network = make_network()
    first, others = network.layers[0], [layer for layer in network.layers[1:] if isinstance(layer, Linear)]
    assert isinstance(first, Linear)
    assert not first.needs_dx
    assert all(layer.needs_dx for layer in others)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_stays_in_the_networks_dtype(batch: tuple[Array, Array], dtype: str) -> None:
    network = make_network(dtype=dtype)
    loss = network.forward(*batch)
    network.backward()
    assert {a.dtype for a in (network.theta, network.dtheta, loss, network.predict_proba(batch[0]))} == {
        np.dtype(dtype)
    }


def test_the_seed_determines_the_weights() -> None:
    layers: list[list[Any]] = [[Linear(4, 8), ReLU(), Linear(8, 3)] for _ in range(3)]
    one, same, other = (Network(layer, seed=seed) for layer, seed in zip(layers, (1, 1, 2), strict=True))
    np.testing.assert_array_equal(one.theta, same.theta)
    assert (one.theta != other.theta).any()
    default, zero = Network([Linear(4, 3)]), Network([Linear(4, 3)], seed=0)
    np.testing.assert_array_equal(default.theta, zero.theta)


def test_the_summary_is_a_table() -> None:
    assert str(Network([Linear(64, 32), ReLU(), Linear(32, 10)])).splitlines() == [
        "layer                  parameters       number",
        "──────────────────────────────────────────────",
        "Linear(64, 32)         W 64×32, b 1×32   2,080",
        "ReLU()                                       0",
        "Linear(32, 10)         W 32×10, b 1×10     330",
        "SoftmaxCrossEntropy()                        0",
        "──────────────────────────────────────────────",
        "total                  float32           2,410",
    ]


def test_lists_are_taken_as_arrays(batch: tuple[Array, Array]) -> None:
    network, (x, t) = make_network(), batch
    expected = network.forward(x, t)
    assert network.forward(x.tolist(), t.tolist()) == expected


def test_samples_without_features_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected x of shape \(N, D\), N at least 1 .* got \(3, 0\)"):
        expect.features("it", np.ones((3, 0)))
    assert expect.features("it", np.ones((1, 1))).shape == (1, 1)


def test_the_summary_counts_every_parameter() -> None:
    network = Network([Linear(64, 32), ReLU(), Linear(32, 10)])
    text = str(network)
    assert "Linear(64, 32)" in text
    assert "W 64×32, b 1×32" in text
    assert text.splitlines()[-1].split() == ["total", "float32", f"{network.theta.size:,}"]
    assert len({len(line) for line in text.splitlines()}) == 1
    assert "ReLU()" in repr(network)

    class Plain:
        shapes: ClassVar[dict[str, tuple[int, ...]]] = {}

        def initialize(self, rng: object, following: object) -> None: ...

        def forward(self, x: Array) -> Array:
            return x

        def backward(self, da: Array) -> Array:
            return da

    assert "\nPlain " in str(Network(list[Any]([Linear(2, 3), Plain(), Linear(3, 2)])))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            np.ones((32, 63)),
            ValueError,
            r"Network\(64 → 10\) expected x of shape \(N, 64\), N at least 1 .* got \(32, 63\)",
        ),
        (np.ones(64), ValueError, r"for one sample x\[np\.newaxis\]\), got \(64,\)"),
        (np.ones((2, 3, 64)), ValueError, r"got \(2, 3, 64\)"),
        (np.ones((0, 64)), ValueError, r"N at least 1 .* got \(0, 64\)"),
        (np.ones((2, 64), dtype=int), TypeError, r"floating-point numbers, got int64; use x\.astype"),
        (np.ones((2, 64), dtype=np.uint8), TypeError, r"got uint8"),
        (np.ones((2, 64), dtype=bool), TypeError, r"got bool"),
        (np.ones((2, 64), dtype=object), TypeError, r"got object"),
        (np.ones((2, 64), dtype=complex), TypeError, r"got complex128"),
        (np.where(np.arange(128) == 70, np.nan, 1.0).reshape(2, 64), ValueError, r"got nan at index 1, 6"),
        (np.where(np.arange(128) == 3, -np.inf, 1.0).reshape(2, 64), ValueError, r"got -inf at index 0, 3"),
    ],
)
def test_samples_that_are_none_are_refused(x: Array, error: type[Exception], message: str) -> None:
    network = Network([Linear(64, 10)])
    t = np.array([0, 1])
    for call in (network.predict, network.predict_proba, network.logits, lambda x: network.forward(x, t)):
        with pytest.raises(error, match=message):
            call(x)


def test_targets_that_do_not_match_are_refused(batch: tuple[Array, Array]) -> None:
    network, (x, t) = make_network(), batch
    with pytest.raises(ValueError, match="got 5 targets for 6 samples"):
        network.forward(x, t[:5])
    with pytest.raises(ValueError, match=r"got \(6, 1\)"):
        network.forward(x, t[:, np.newaxis])
    with pytest.raises(ValueError, match="must sum to 1"):
        network.forward(x, np.ones((6, 3)))


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([], ValueError, "expected one with parameters, such as Linear"),
        ([ReLU()], ValueError, "expected one with parameters, such as Linear"),
        ([Linear(4, 5), Tanh(), Linear(6, 3)], ValueError, r"Tanh\(\) gives 5 outputs, but .* takes 6"),
        ([Linear(4, 5), ReLU, Linear(5, 3)], TypeError, r"one such as ReLU\(\), with forward and .*, got <class 'minn"),
        ([Linear(4, 5), "relu"], TypeError, r"one such as ReLU\(\), with forward and backward, got 'relu'"),
        ([shared := Linear(4, 4), ReLU(), shared], ValueError, r"Linear\(4, 4\) has a place in a network already"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Network(layers)


def test_settings_that_make_no_sense_are_refused() -> None:
    for seed in (-1, 1.5, None, True):
        with pytest.raises(ValueError, match="seed: expected an integer of at least 0"):
            Network([Linear(2, 2)], seed=seed)  # type: ignore[arg-type]
    for dtype in ("int64", "float16", "complex128"):
        with pytest.raises(ValueError, match="dtype: expected one of float32, float64"):
            Network([Linear(2, 2)], dtype=dtype)


def test_a_copy_learns_on_its_own(batch: tuple[Array, Array]) -> None:
    network = make_network()
    other = copy.deepcopy(network)
    other.theta[...] = 0
    assert other.forward(*batch) == pytest.approx(np.log(3))
    other.backward()
    assert other.dtheta.any()
    assert not network.dtheta.any()
    assert network.theta.all()


def test_a_layer_of_another_network_is_refused() -> None:
    layer = Linear(4, 3)
    network = Network([layer])
    with pytest.raises(ValueError, match=r"Linear\(4, 3\) has a place in a network already"):
        Network([layer])
    assert network.layers[0] is layer


def test_numbers_beyond_the_networks_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"in the range of float32, got 1e\+300"):
        Network([Linear(4, 3)]).predict(np.full((1, 4), 1e300))
    assert Network([Linear(4, 3)], dtype="float64").predict(np.full((1, 4), 1e300)).shape == (1,)


def test_a_masked_array_is_refused() -> None:
    with pytest.raises(TypeError, match="got a masked one"):
        Network([Linear(2, 2)]).predict(np.ma.masked_less(np.ones((3, 2)), 0))


def test_another_point_must_be_numbers() -> None:
    network = Network([Linear(1, 1)], dtype="float64")
    assert network.at([1.0, 2.0]).theta.tolist() == [1, 2]  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="floating-point or complex numbers, got int64"):
        network.at(np.array([1, 2]))
