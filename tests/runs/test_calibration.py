"""Does a temperature mend probabilities, does it do no harm, and do the figures tell?"""

from typing import Any

import numpy as np
import pytest

from minnet import SGD, Dataset, Linear, Network, ReLU, Tanh, check_gradients, load_dataset, train
from minnet.layers import Array, Layer
from minnet.output import log_softmax
from minnet.runs.calibration import Temperature, calibration_figures, fit_temperature, reliability


def softmax(z: Array) -> Array:
    y: Array = np.exp(log_softmax(z))
    return y


def loss(z: Array, t: Array, weight: Array | None = None) -> float:
    return float(np.average(-log_softmax(z)[np.arange(len(z)), t], weights=weight))


def drawn(z: Array, seed: int = 1) -> Array:
    """Draw class numbers with the probabilities of logits."""
    points = np.random.default_rng(seed).random((len(z), 1))
    t: Array = (softmax(z)[:, :-1].cumsum(axis=1) < points).sum(axis=1)
    return t


def logits(N: int, K: int = 4, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 2, (N, K))


@pytest.mark.parametrize("seed", [0, (0, 1, 2)])
@pytest.mark.parametrize(
    "layers",
    [
        lambda: [Temperature(3)],
        lambda: [Linear(3, 5), Temperature(5), ReLU(), Linear(5, 3)],
        lambda: [Linear(3, 4), Tanh(), Temperature(4), Linear(4, 3), Temperature(3)],
    ],
)
def test_the_temperatures_gradient_is_right(layers: Any, seed: Any) -> None:
    network, rng = Network(layers(), seed=seed, dtype="float64"), np.random.default_rng(0)
    network.theta += rng.uniform(0.1, 2, network.theta.shape)
    x, t, s = rng.normal(size=(7, 3)), rng.integers(0, 3, 7), rng.uniform(0, 2, 7)
    assert check_gradients(network, x, t).error <= 1e-12
    assert check_gradients(network, x, rng.dirichlet(np.ones(3), 7), s).error <= 1e-12


def test_a_wrong_gradient_of_it_is_found() -> None:
    class Wrong(Temperature):
        def backward(self, da: Array) -> Array:
            dz = super().backward(da)
            self.dbeta *= 1.0001
            return dz

    assert check_gradients(Network([Wrong(3)], dtype="float64"), logits(7, 3), np.arange(7) % 3).error > 1e-6


def test_at_first_it_changes_nothing_and_it_says_what_it_is() -> None:
    network, z = Network([Temperature(4)], dtype="float64"), logits(5)
    np.testing.assert_array_equal(network.logits(z), z)
    assert (network.D, network.K) == (4, 4)
    assert "Temperature(4)" in str(network)
    with pytest.raises(ValueError, match="Temperature D: expected an integer"):
        Temperature(0)


@pytest.mark.parametrize("T", [0.3, 1.0, 2.5])
def test_the_temperature_that_was_hidden_is_found(T: float) -> None:
    z = logits(20000)
    t = drawn(z / T)
    assert fit_temperature(z, t) == pytest.approx(T, rel=0.03)
    assert fit_temperature(z, np.eye(4)[t]) == pytest.approx(fit_temperature(z, t), rel=1e-9)
    assert fit_temperature(z.astype(np.float32), t) == pytest.approx(fit_temperature(z, t), rel=1e-6)


@pytest.mark.parametrize("M", [1, 3, 23, 1000])
@pytest.mark.parametrize("scale", [1e-3, 1, 30, 1e30])
def test_the_loss_that_is_fitted_is_never_worse_than_without(M: int, scale: float) -> None:
    for seed in range(5):
        z = scale * logits(M, seed=seed)
        for t in (z.argmax(axis=1), z.argmin(axis=1), np.arange(M) % 4, drawn(z)):
            T = fit_temperature(z, t)
            assert 0.05 <= T <= 20
            assert loss(z / T, t) <= loss(z, t) * (1 + 1e-12)
            s = np.random.default_rng(seed).uniform(0, 1, M)
            assert loss(z / fit_temperature(z, t, s), t, s) <= loss(z, t, s) * (1 + 1e-12)


def test_what_has_no_best_temperature_ends_at_a_bound_and_a_few_samples_stay_near_1() -> None:
    z = logits(100000)
    assert fit_temperature(z, z.argmax(axis=1)) == 0.05
    assert fit_temperature(z, np.arange(len(z)) % 4) == 20
    assert 0.5 < fit_temperature(z[:20], z[:20].argmax(axis=1)) < 1
    assert fit_temperature(np.zeros((9, 3)), np.arange(9) % 3) == 1
    equal = np.repeat([[30.0, 0, 0]], 9, axis=0)
    assert fit_temperature(equal, np.zeros(9, int)) == pytest.approx(1, abs=1e-9)  # nothing is left to gain


def test_a_sample_of_weight_2_is_two_of_them_in_the_loss_and_one_of_weight_0_is_none() -> None:
    z = logits(400)
    t = drawn(z / 2)
    half = np.arange(400) < 200
    assert fit_temperature(z, t, half) == pytest.approx(fit_temperature(z[half], t[half]), rel=1e-9)
    assert fit_temperature(z, t, np.full(400, 7.0)) == pytest.approx(fit_temperature(z, t), rel=1e-9)


def test_what_are_no_logits_is_refused() -> None:
    for z, message in ((np.zeros(3), "of shape"), (np.array([[0, np.nan]]), "finite"), (np.zeros((0, 3)), "of shape")):
        with pytest.raises(ValueError, match=message):
            fit_temperature(z, np.zeros(len(z), int))
    with pytest.raises(ValueError, match="0 … 2"):
        fit_temperature(np.zeros((2, 3)), np.array([0, 3]))
    with pytest.raises(ValueError, match="3 targets for 2 samples"):
        fit_temperature(np.zeros((2, 3)), np.zeros(3, int))


def test_figures_are_what_they_are_defined_as() -> None:
    y = np.array([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6], [0.05, 0.9, 0.05]])
    t = np.array([0, 2, 2, 1])
    figures = calibration_figures(y, t)
    assert figures["log_loss"] == pytest.approx(-np.log([0.8, 0.3, 0.6, 0.9]).mean())
    assert figures["brier"] == pytest.approx((0.06 + 0.74 + 0.24 + 0.015) / 4)
    assert figures["ece"] == pytest.approx((0.2 + 0.4 + 0.4 + 0.1) / 4)
    assert calibration_figures(y, np.eye(3)[t]) == figures
    assert calibration_figures(y.astype(np.float32), t) == pytest.approx(figures, abs=1e-6)
    assert calibration_figures(np.eye(3)[t], t) == pytest.approx({"log_loss": 0, "brier": 0, "ece": 0}, abs=1e-12)
    wrong = calibration_figures(np.eye(3)[(t + 1) % 3], t)
    assert (wrong["brier"], wrong["ece"]) == (2, 1)
    assert wrong["log_loss"] == pytest.approx(708.4, abs=0.01)
    assert calibration_figures(np.eye(3, dtype=np.float32)[(t + 1) % 3], t)["log_loss"] == pytest.approx(87.3, abs=0.1)


@pytest.mark.parametrize("K", [2, 5])
def test_they_agree_with_scikit_learns(K: int) -> None:
    from sklearn.metrics import brier_score_loss, log_loss

    y = softmax(logits(300, K))
    t = drawn(logits(300, K))
    t[:] = np.minimum(t, 1)  # most classes do not occur
    figures = calibration_figures(y, t)
    assert figures["log_loss"] == pytest.approx(log_loss(t, y, labels=range(K)), rel=1e-12)
    if K == 2:
        assert figures["brier"] == pytest.approx(2 * brier_score_loss(t, y[:, 1]), rel=1e-12)


def test_the_log_loss_is_the_networks_loss() -> None:
    dataset = load_dataset("iris")
    network = Network([Linear(4, 8), ReLU(), Linear(8, 3)])
    x, t = dataset.test
    figures = calibration_figures(network.predict_proba(x), t)
    assert figures["log_loss"] == pytest.approx(float(network.forward(x, t)), rel=1e-6)


def test_bins_hold_each_sample_once_and_right_probabilities_lie_on_the_line() -> None:
    z = logits(50000)
    found = reliability(softmax(z), drawn(z))
    assert found.samples.sum() == 50000
    assert len(found.samples) <= 15
    assert (np.diff(found.confidence) > 0).all()
    assert found.error < 0.01
    gaps = np.abs(found.confidence - found.accuracy)
    assert found.error == pytest.approx((found.samples * gaps).sum() / 50000)
    edges = reliability(np.array([[1.0, 0], [0.5, 0.5], [3 / 5, 2 / 5]]), np.array([0, 1, 0]))
    np.testing.assert_array_equal(edges.accuracy, [0, 1, 1])


@pytest.mark.parametrize(("name", "bad"), [("digits", False), ("spiral", False), ("noise", True), ("few", True)])
def test_what_was_badly_calibrated_gets_better_and_the_rest_not_worse(name: str, bad: bool) -> None:
    if bad:
        rng = np.random.default_rng(3)
        x = rng.normal(size=(1500 if name == "noise" else 250, 8))
        t = (x[:, 0] + rng.normal(size=len(x)) > 0).astype(int)  # a third of the labels is up to chance
        dataset = Dataset.from_arrays(x, t)
    else:
        dataset = load_dataset(name)
    changes = []
    for seed in range(2):
        layers: list[Layer] = [Linear(dataset.D, 64), ReLU(), Linear(64, dataset.K)]
        network = Network(layers, seed=seed)
        train(network, SGD(0.05, 0.9), dataset, 40)
        T = fit_temperature(network.logits(dataset.validation.x), dataset.validation.t)
        z, t = network.logits(dataset.test.x), dataset.test.t
        before, after = calibration_figures(softmax(z), t), calibration_figures(softmax(z / T), t)
        np.testing.assert_array_equal((z / T).argmax(axis=1), z.argmax(axis=1))
        changes.append([after[figure] - before[figure] for figure in ("log_loss", "ece")])
    assert (np.mean(changes, axis=0) < (-0.02 if bad else 0.003)).all()
