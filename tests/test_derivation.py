"""Is every equation of docs/derivation.md true? Each test bears its equation's number and checks the statement."""

import importlib
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import (
    SGD,
    Adam,
    BatchNorm,
    CosineDecay,
    Dropout,
    LayerNorm,
    LeakyReLU,
    Linear,
    ReduceOnPlateau,
    ReLU,
    Sigmoid,
    SoftmaxCrossEntropy,
    StepDecay,
    Tanh,
    load_dataset,
    train,
)  # fmt: skip
from minnet.gradient_check import numeric_gradient
from minnet.layers import Array
from minnet.optimizers import clip_gradient
from minnet.output import log_softmax
from minnet.runs.calibration import PRIOR, Temperature, fit_temperature
from minnet.support.stack import RandomNumbers
from tests.conftest import make_network

DERIVATION = (Path(__file__).parent.parent / "docs" / "derivation.md").read_text(encoding="utf-8")
H = 1e-30

rng = np.random.default_rng(0)
Z = rng.normal(0, 2, 5)  # one sample's logits
T = rng.dirichlet(np.ones(5))  # its targets, soft
Y = np.exp(Z) / np.exp(Z).sum()


def softmax(z: Array) -> Array:
    """Equation 1, as it is written."""
    y: Array = np.exp(z) / np.exp(z).sum()
    return y


def steps(z: Array) -> list[Array]:
    """z with a complex step on each entry in turn."""
    return [z + 1j * H * (np.arange(z.size) == i) for i in range(z.size)]


def jacobian() -> Array:
    """∂y_k/∂z_i at [k, i], by complex steps."""
    return np.stack([softmax(z).imag / H for z in steps(Z)], axis=1)


def slope_of_the_loss() -> Array:
    """∂C/∂z_i by complex steps, of the loss as equation 2 writes it."""
    return np.array([-(T * np.log(softmax(z))).sum().imag / H for z in steps(Z)])


def test_equation_1_softmax_makes_probabilities() -> None:
    np.testing.assert_allclose(SoftmaxCrossEntropy().probabilities(Z[None])[0], Y, rtol=1e-14)
    assert Y.sum() == pytest.approx(1, rel=1e-15)
    assert (jacobian() != 0).all()  # every y depends on every z


def test_equation_2_cross_entropy() -> None:
    assert SoftmaxCrossEntropy().forward(Z[None], T[None]) == pytest.approx(-sum(T * np.log(Y)), rel=1e-14)
    assert SoftmaxCrossEntropy().forward(Z[None], np.eye(5)[[2]]) == pytest.approx(-math.log(Y[2]), rel=1e-14)


def test_equation_3_the_targets_stay_outside_and_the_sum_is_over_all_classes() -> None:
    slopes_of_log_y = np.stack([np.log(softmax(z)).imag / H for z in steps(Z)], axis=1)
    np.testing.assert_allclose(-(T[:, None] * slopes_of_log_y).sum(axis=0), slope_of_the_loss(), rtol=1e-13)
    diagonal_only = -T * np.diagonal(slopes_of_log_y)
    assert np.abs(diagonal_only - slope_of_the_loss()).max() > 0.1


def test_equation_4_the_chain_rule() -> None:
    np.testing.assert_allclose(-(T / Y) @ jacobian(), slope_of_the_loss(), rtol=1e-13)


def test_equation_5_the_jacobians_diagonal() -> None:
    np.testing.assert_allclose(np.diagonal(jacobian()), Y * (1 - Y), rtol=1e-13)
    e, total = np.exp(Z), np.exp(Z).sum()
    np.testing.assert_allclose((e * total - e * e) / total**2, Y * (1 - Y), rtol=1e-13)


def test_equation_6_the_jacobian_off_its_diagonal() -> None:
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(jacobian()[off], -np.outer(Y, Y)[off], rtol=1e-13)


def test_equation_7_the_jacobian_in_one() -> None:
    np.testing.assert_allclose(jacobian(), Y[:, None] * (np.eye(5) - Y), rtol=1e-13)


def test_equation_8_substituted_and_summed_for_any_targets() -> None:
    for t in (T, 3 * T, np.array([1.0, 1, 0, 0, 0])):  # targets need not sum to 1 yet
        long_way = -(t / Y) @ (Y[:, None] * (np.eye(5) - Y))
        np.testing.assert_allclose(long_way, -t + Y * t.sum(), atol=1e-14)
        slope = [-(t * np.log(softmax(z))).sum().imag / H for z in steps(Z)]
        np.testing.assert_allclose(long_way, slope, atol=1e-14)


def test_equation_9_is_y_minus_t_just_because_the_targets_sum_to_1() -> None:
    np.testing.assert_allclose(slope_of_the_loss(), Y - T, atol=1e-15)
    output = SoftmaxCrossEntropy()
    output.forward(Z[None], T[None])
    np.testing.assert_allclose(output.backward()[0], slope_of_the_loss(), atol=1e-15)
    assert (Y - T).sum() == pytest.approx(0, abs=1e-15)
    twice = [-(2 * T * np.log(softmax(z))).sum().imag / H for z in steps(Z)]
    assert np.abs(np.array(twice) - (Y - 2 * T)).max() > 0.1


@pytest.mark.parametrize("N", [1, 2, 7])
def test_equation_10_the_mean_and_its_one_over_n(N: int) -> None:
    z, t = np.random.default_rng(N).normal(size=(N, 4)), np.eye(4)[np.arange(N) % 4]
    output = SoftmaxCrossEntropy()
    singles = [SoftmaxCrossEntropy().forward(z[[n]], t[[n]]) for n in range(N)]
    assert output.forward(z, t) == pytest.approx(np.mean(singles), rel=1e-14)
    np.testing.assert_allclose(output.backward(), (output.probabilities(z) - t) / N, rtol=1e-14)
    for n in range(N):
        for i in range(4):
            stepped = z.astype(complex)
            stepped[n, i] += 1j * H
            assert output.backward()[n, i] == pytest.approx(
                SoftmaxCrossEntropy().forward(stepped, t).imag / H, abs=1e-15
            )


@pytest.mark.parametrize("m", [-300.0, -1.0, 5.0, 300.0])
def test_equation_11a_a_shift_changes_nothing(m: float) -> None:
    np.testing.assert_allclose(np.exp(Z - m) / np.exp(Z - m).sum(), Y, rtol=1e-12)
    np.testing.assert_allclose(log_softmax(Z - m), np.log(Y), rtol=1e-12)
    far_apart = np.array([[1000.0, 1001.0], [-1000.0, -1001.0]])
    np.testing.assert_allclose(np.exp(log_softmax(far_apart)).sum(axis=1), 1)
    with np.errstate(invalid="ignore"):  # by the whole batch's maximum, the second row is 0/0
        by_batch = np.exp(far_apart - far_apart.max())
        assert np.isnan(by_batch / by_batch.sum(axis=1, keepdims=True)).any()


def test_equation_11b_log_sum_exp_is_exact_where_y_is_rounded_to_0() -> None:
    m = Z.max()
    np.testing.assert_allclose((Z - m) - np.log(np.exp(Z - m).sum()), np.log(Y), rtol=1e-13)
    np.testing.assert_allclose(log_softmax(Z), np.log(Y), rtol=1e-13)
    np.testing.assert_array_equal(log_softmax(np.array([0.0, 20_000])), [-20_000, 0])
    assert np.exp(log_softmax(np.array([0.0, 20_000])))[0] == 0


def test_equation_11c_epsilon_parts_the_loss_from_its_gradient() -> None:
    z, t, epsilon = np.array([0.0, 20.0]), np.array([1.0, 0.0]), 1e-7
    y = softmax(z)
    slope = [-(t * np.log(softmax(s) + epsilon)).sum().imag / H for s in steps(z)]
    formula = [sum(t[k] * y[k] / (y[k] + epsilon) * (y[i] - (k == i)) for k in range(2)) for i in range(2)]
    np.testing.assert_allclose(slope, formula, rtol=1e-12)
    assert slope[0] == pytest.approx(-0.02, abs=0.001)
    assert (y - t)[0] == pytest.approx(-1, abs=1e-8)


def test_equation_10a_a_weighted_mean_whose_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(3)
    z, t = rng.normal(size=(5, 3)), rng.dirichlet(np.ones(3), 5)
    s, c = np.array([1.0, 2, 0, 0.5, 3]), [0.5, 2.0, 1.0]
    output = SoftmaxCrossEntropy(class_weight=c)
    w = s * (t @ c) / (s * (t @ c)).sum()
    losses = [float(SoftmaxCrossEntropy().forward(z[[n]], t[[n]])) for n in range(5)]
    assert output.forward(z, t, s) == pytest.approx(w @ losses, rel=1e-14)
    dz = output.backward()
    for n, i in np.ndindex(5, 3):
        stepped = z.astype(complex)
        stepped[n, i] += 1j * H
        slope = SoftmaxCrossEntropy(class_weight=c).forward(stepped, t, s).imag / H
        assert dz[n, i] == pytest.approx(slope, abs=1e-16)
    assert output.forward(z, t, 10 * s) == pytest.approx(output.forward(z, t, s), rel=1e-14)
    twice = np.array([0, 1, 1, 3])  # a sample of weight 2 is two samples
    one_by_one = SoftmaxCrossEntropy().forward(z[twice], t[twice])
    weighted = SoftmaxCrossEntropy().forward(z, t, np.array([1.0, 2, 0, 1, 0]))
    assert one_by_one == pytest.approx(weighted, rel=1e-14)


def test_equation_10b_smoothed_labels_sum_to_1_and_the_rest_follows() -> None:
    smooth = (1 - 0.2) * T + 0.2 / 5
    assert smooth.sum() == pytest.approx(1, rel=1e-15)
    output = SoftmaxCrossEntropy(label_smoothing=0.2)
    assert output.forward(Z[None], T[None]) == pytest.approx(-(smooth * np.log(Y)).sum(), rel=1e-14)
    slopes = [-(smooth * np.log(softmax(z))).sum().imag / H for z in steps(Z)]
    np.testing.assert_allclose(output.backward()[0], slopes, atol=1e-15)
    sharp = np.log(np.full(5, 0.2 / 5) + np.eye(5)[1] * 0.8)  # the logits at which the loss is least
    entropy = -(np.exp(sharp) * sharp).sum()
    assert output.forward(sharp[None], np.eye(5)[[1]]) == pytest.approx(entropy, rel=1e-14)
    np.testing.assert_allclose(output.backward(), 0, atol=1e-15)
    assert output.forward(np.zeros((1, 5)), T[None]) == pytest.approx(math.log(5), rel=1e-15)


def linear_and_numeric(name: str) -> tuple[Array, Array]:
    """What Linear.backward gives for dq, and the slope of Σ dz·z with respect to q."""
    rng = np.random.default_rng(1)
    layer = Linear(3, 2)
    layer.W, layer.b = rng.normal(size=(3, 2)), rng.normal(size=(1, 2))
    layer.dW, layer.db = np.zeros((3, 2)), np.zeros((1, 2))
    x, dz = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    values = {"x": x, "W": layer.W, "b": layer.b}
    numeric = np.empty(values[name].shape)
    for index in np.ndindex(*numeric.shape):
        stepped = {key: value.astype(complex) for key, value in values.items()}
        stepped[name][index] += 1j * H
        numeric[index] = (dz * (stepped["x"] @ stepped["W"] + stepped["b"])).sum().imag / H
    layer.forward(x)
    dx = layer.backward(dz)
    assert dx is not None
    return {"x": dx, "W": layer.dW, "b": layer.db}[name], numeric


def test_equation_12a_the_weights_gradient() -> None:
    np.testing.assert_allclose(*linear_and_numeric("W"), rtol=1e-13)


def test_equation_12b_the_biass_gradient() -> None:
    np.testing.assert_allclose(*linear_and_numeric("b"), rtol=1e-13)


def test_equation_12c_the_inputs_gradient() -> None:
    np.testing.assert_allclose(*linear_and_numeric("x"), rtol=1e-13)


def slope_of_an_activation(layer: ReLU | LeakyReLU | Tanh | Sigmoid, x: Array) -> tuple[Array, Array]:
    """What backward gives for da = 2, and twice the slope of forward, by central differences."""
    numeric = (layer.forward(x + 1e-6) - layer.forward(x - 1e-6)) / 1e-6
    layer.forward(x)
    return layer.backward(np.full(x.shape, 2.0)), numeric


X = np.array([-3.0, -1, -0.1, 0.2, 1, 4])


def test_equation_13a_relu() -> None:
    np.testing.assert_allclose(*slope_of_an_activation(ReLU(), X), atol=1e-9)
    relu = ReLU()
    relu.forward(np.zeros(1))
    assert relu.backward(np.ones(1)) == 0


def test_equation_13b_tanh() -> None:
    np.testing.assert_allclose(*slope_of_an_activation(Tanh(), X), atol=1e-9)
    np.testing.assert_allclose(Tanh().forward(X), (np.exp(X) - np.exp(-X)) / (np.exp(X) + np.exp(-X)), rtol=1e-14)


def test_equation_13c_sigmoid() -> None:
    np.testing.assert_allclose(*slope_of_an_activation(Sigmoid(), X), atol=1e-9)
    np.testing.assert_allclose(Sigmoid().forward(X), 1 / (1 + np.exp(-X)), rtol=1e-14)


def test_equation_13d_leaky_relu() -> None:
    np.testing.assert_allclose(*slope_of_an_activation(LeakyReLU(0.2), X), atol=1e-9)
    np.testing.assert_array_equal(LeakyReLU(0.25).forward(X), [-0.75, -0.25, -0.025, 0.2, 1, 4])


def test_equation_13e_dropout_has_one_mask_for_both_passes_and_mean_1() -> None:
    layer = Dropout(0.3)
    layer.random = RandomNumbers([np.random.default_rng(0)], stacked=False)
    x = np.ones((4000, 50))
    a = layer.forward(x)
    assert set(np.unique(a)) == {0, 1 / 0.7}
    assert a.mean() == pytest.approx(1, abs=0.01)
    assert (a == 0).mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_array_equal(layer.backward(x), a)
    assert (layer.forward(x) != a).any()
    np.testing.assert_array_equal(layer.infer(x), x)


def normalized(x: Array, axis: int) -> Array:
    """x̂ of equations 13f and 13h, as they are written."""
    mean = x.sum(axis=axis, keepdims=True) / x.shape[axis]
    variance = ((x - mean) ** 2).sum(axis=axis, keepdims=True) / x.shape[axis]
    x_hat: Array = (x - mean) / np.sqrt(variance + 1e-5)
    return x_hat


def slopes_of_normalization(layer: BatchNorm | LayerNorm, axis: int) -> None:
    """Hold forward and backward against x̂ as it is written, and its slopes."""
    rng = np.random.default_rng(4)
    layer.gamma, layer.beta, x, da = (rng.normal(size=shape) for shape in ((1, 3), (1, 3), (6, 3), (6, 3)))
    layer.dgamma, layer.dbeta = np.empty((1, 3)), np.empty((1, 3))
    if isinstance(layer, BatchNorm):
        layer.running_mean, layer.running_variance = np.zeros((1, 3)), np.ones((1, 3))
    np.testing.assert_allclose(layer.forward(x), layer.gamma * normalized(x, axis) + layer.beta, rtol=1e-13)
    dx = layer.backward(da)
    for n, i in np.ndindex(6, 3):
        stepped = x.astype(complex)
        stepped[n, i] += 1j * H
        assert dx[n, i] == pytest.approx((da * layer.gamma * normalized(stepped, axis)).sum().imag / H, abs=1e-14)
    np.testing.assert_allclose(layer.dgamma[0], (da * normalized(x, axis)).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.dbeta[0], da.sum(axis=0), rtol=1e-12)


def test_equation_13f_batch_normalization() -> None:
    slopes_of_normalization(BatchNorm(3), axis=0)


def test_equation_13g_running_averages_take_the_batchs_place() -> None:
    layer, rng = BatchNorm(2, momentum=0.25), np.random.default_rng(5)
    layer.gamma, layer.beta = np.array([[2.0, 3]]), np.array([[1.0, -1]])
    layer.running_mean, layer.running_variance = np.zeros((1, 2)), np.ones((1, 2))
    mean, variance = np.zeros(2), np.ones(2)
    for _ in range(3):
        x = rng.normal(3, 2, (5, 2))
        layer.forward(x)
        mean, variance = 0.75 * mean + 0.25 * x.mean(axis=0), 0.75 * variance + 0.25 * x.var(axis=0, ddof=1)
    np.testing.assert_allclose(layer.running_mean[0], mean, rtol=1e-13)
    np.testing.assert_allclose(layer.running_variance[0], variance, rtol=1e-13)
    layer.forward(x[:1])  # a single sample has no variance
    np.testing.assert_allclose(layer.running_variance[0], variance, rtol=1e-13)
    expected = [2, 3] * (x - mean) / np.sqrt(variance + 1e-5) + [1, -1]
    np.testing.assert_allclose(layer.infer(x), expected, rtol=1e-12)
    np.testing.assert_array_equal(layer.infer(x[:1]), layer.infer(x)[:1])


def test_equation_13h_layer_normalization() -> None:
    slopes_of_normalization(LayerNorm(3), axis=1)


def test_equation_14a_a_small_step_lowers_the_loss_by_lr_times_the_squared_gradient(batch: tuple[Array, Array]) -> None:
    network, lr = make_network(), 1e-6
    before = network.forward(*batch)
    network.backward()
    theta, g = network.theta.copy(), network.dtheta.copy()
    SGD(lr).step(network)
    np.testing.assert_allclose(theta - network.theta, lr * g, rtol=0, atol=1e-15)
    assert (before - network.forward(*batch)) / lr == pytest.approx(g @ g, rel=1e-4)


def test_equation_14b_the_velocity_is_a_fading_sum_of_gradients() -> None:
    network, optimizer, m, lr = make_network((1, 2)), SGD(0.1, 0.8), 0.8, 0.1
    theta = network.theta.copy()
    gradients = np.random.default_rng(0).normal(size=(6, theta.size))
    for k in range(6):
        network.dtheta[...] = gradients[k]
        optimizer.step(network)
        v = sum(m ** (k - j) * gradients[j] for j in range(k + 1))
        theta = theta - lr * v
        np.testing.assert_allclose(network.theta, theta, rtol=1e-12)
    network.dtheta[...] = 1
    for _ in range(200):
        optimizer.step(network)
    assert optimizer.state
    np.testing.assert_allclose(optimizer.state["velocity"], 1 / (1 - m), rtol=1e-12)


def test_equation_14c_nesterov_takes_the_gradient_where_the_velocity_leads(batch: tuple[Array, Array]) -> None:
    """Sutskever's form: u ← m u − lr ∇C(ϑ + m u), ϑ ← ϑ + u; ours is at θ = ϑ + m u throughout."""
    m, lr = 0.8, 0.1
    network, optimizer = make_network(), SGD(lr, m, nesterov=True)
    position, u = network.theta.copy(), np.zeros(network.theta.size)
    for _ in range(5):
        ahead = network.at(position + m * u)
        ahead.forward(*batch)
        ahead.backward()
        u = m * u - lr * ahead.dtheta
        position = position + u
        network.forward(*batch)
        network.backward()
        optimizer.step(network)
        np.testing.assert_allclose(network.theta, position + m * u, rtol=1e-10)


def test_equation_14d_weight_decay_is_the_penaltys_gradient() -> None:
    network, decay = make_network(), 0.3
    optimizer = SGD(1.0, weight_decay=decay)
    assert optimizer.penalty(network) == pytest.approx(
        decay / 2 * sum((layer.W**2).sum() for layer in network.layers if isinstance(layer, Linear)), rel=1e-13
    )
    theta = network.theta.copy()
    network.dtheta[...] = 0.25
    optimizer.step(network)
    np.testing.assert_allclose(theta - network.theta, 0.25 + decay * np.where(network.decays, theta, 0), rtol=1e-12)


def test_equation_14e_adam_under_a_constant_gradient_steps_by_lr() -> None:
    network, optimizer = make_network((1, 2)), Adam(0.1, 0.8, 0.9, epsilon=1e-12)
    for k in range(1, 6):
        before, g = network.theta.copy(), np.array([1e-3, -5.0, 2.0, -1e3])
        network.dtheta[...] = g
        optimizer.step(network)
        np.testing.assert_allclose(before - network.theta, 0.1 * np.sign(g), rtol=1e-7)
        np.testing.assert_allclose(optimizer.state["m"], (1 - 0.8**k) * g, rtol=1e-12)
        np.testing.assert_allclose(optimizer.state["v"], (1 - 0.9**k) * g**2, rtol=1e-12)
    network.dtheta[...] = [0, 0, 1, 1]
    m, v = optimizer.state["m"].copy(), optimizer.state["v"].copy()
    before = network.theta.copy()
    optimizer.step(network)
    m, v = 0.8 * m + 0.2 * network.dtheta, 0.9 * v + 0.1 * network.dtheta**2
    expected = 0.1 * (m / (1 - 0.8**6)) / (np.sqrt(v / (1 - 0.9**6)) + 1e-12)
    np.testing.assert_allclose(before - network.theta, expected, rtol=1e-12)


def test_equation_14f_a_long_gradient_is_shortened() -> None:
    network = make_network((1, 2))
    for g, length in (([3.0, 0, 4, 0], 2.0), ([0.3, 0, 0.4, 0], 0.5), ([0.0, 0, 0, 0], 0.0)):
        network.dtheta[...] = g
        clip_gradient(network, network.dtheta @ network.dtheta, 2.0)
        assert np.linalg.norm(network.dtheta) == pytest.approx(length, rel=1e-14)
        np.testing.assert_allclose(network.dtheta * max(np.linalg.norm(g), 1e-9), np.multiply(g, length), rtol=1e-12)


def test_equation_14g_steps() -> None:
    factors = [StepDecay(3, 0.5).factors(e, 2, 9, []).tolist() for e in range(7)]
    assert factors == [[1, 1]] * 3 + [[0.5, 0.5]] * 3 + [[0.25, 0.25]]


def test_equation_14h_warm_up_and_cosine() -> None:
    f = np.concatenate([CosineDecay(2).factors(e, 5, 6, []) for e in range(6)])
    np.testing.assert_allclose(f[:10], np.arange(1, 11) / 10)
    for i in range(10, 30):
        assert f[i] == pytest.approx((1 + math.cos(math.pi * (i - 10) / 20)) / 2, rel=1e-14)
    assert f[9] == f[10] == 1
    assert 0 < f[-1] < 0.01
    np.testing.assert_allclose(CosineDecay(3).factors(1, 4, 2, []), np.arange(5, 9) / 12)  # it never gets warm


def test_equation_14i_plateau() -> None:
    losses = [5, 4, 4, 4.5, 3, 3.5, 3.5, 3.5, 3.5, math.nan]
    r = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
    schedule = ReduceOnPlateau(2, 0.1)
    for e, count in enumerate(r):
        np.testing.assert_allclose(schedule.factors(e, 3, 20, losses[:e]), np.full(3, 0.1**count))
    both = [np.array([loss, -e]) for e, loss in enumerate(losses)]
    np.testing.assert_allclose(schedule.factors(10, 1, 20, both), [[1e-3, 1]])


@pytest.mark.parametrize("monitor", ["loss", "accuracy", "balanced_accuracy", "f1"])
def test_equation_14j_early_stopping_restores_the_best_weights(monitor: str) -> None:
    dataset, thetas = load_dataset("iris"), []
    network = make_network((4, 30, 3))
    settings: dict[str, Any] = {"patience": 3, "monitor": monitor}
    history = train(
        network, SGD(0.6, 0.9), dataset, 60, 16, on_epoch=lambda _: thetas.append(network.theta.copy()), **settings
    )
    L = np.array(getattr(history, f"validation_{monitor}")) * (1 if monitor == "loss" else -1)
    best = int(L.argmin())  # the first of the best
    assert len(L) - 1 - best == 3
    assert len(L) < 60
    np.testing.assert_array_equal(network.theta, thetas[best])
    for E in range(len(L) - 1):  # it did not stop too late
        assert E - L[: E + 1].argmin() < 3


def test_equation_15_the_complex_step_is_exact_where_a_difference_is_not(batch: tuple[Array, Array]) -> None:
    x = 1.5
    exact = math.exp(x) * (math.sin(x) + math.cos(x))
    assert (np.exp(x + 1j * H) * np.sin(x + 1j * H)).imag / H == pytest.approx(exact, rel=1e-15)
    difference = (math.exp(x + 1e-5) * math.sin(x + 1e-5) - math.exp(x) * math.sin(x)) / 1e-5
    assert abs(difference - exact) > 1e-7
    network = make_network()
    numeric = numeric_gradient(network, *batch)
    assert np.abs(numeric - numeric_gradient(network, *batch, h=1e-20)).max() < 1e-15


def test_equation_16_the_temperatures_loss_is_convex_in_its_inverse() -> None:
    rng = np.random.default_rng(6)
    z, t, s = rng.normal(0, 3, (5, 4)), rng.dirichlet(np.ones(4), 5), np.array([1.0, 2, 0, 1, 3])
    w, layer, output = s / s.sum(), Temperature(4), SoftmaxCrossEntropy()
    layer.dbeta = np.empty((1, 1))

    def slope(beta: Any) -> Any:
        y = np.stack([softmax(beta * row) for row in z])
        return (w * ((y - t) * z).sum(axis=1)).sum()

    for beta in (0.1, 1, 3):
        layer.beta = np.full((1, 1), beta)
        output.forward(layer.forward(z), t, s)
        dz = layer.backward(output.backward())
        stepped = SoftmaxCrossEntropy().forward((beta + 1j * H) * z, t, s)
        assert layer.dbeta.item() == pytest.approx(stepped.imag / H, rel=1e-13)
        assert layer.dbeta.item() == pytest.approx(slope(beta), rel=1e-13)
        np.testing.assert_allclose(dz, beta * output.backward(), rtol=1e-15)
        y = np.stack([softmax(beta * row) for row in z])
        variance = (y * z**2).sum(axis=1) - (y * z).sum(axis=1) ** 2
        assert slope(beta + 1j * H).imag / H == pytest.approx(w @ variance, rel=1e-12)
        np.testing.assert_array_equal(y.argmax(axis=1), z.argmax(axis=1))


@pytest.mark.parametrize("weights", [[1.0, 1, 1, 1, 1, 1], [1.0, 2, 0, 1, 3, 0.5]])
def test_equation_16a_the_priors_minimum_is_where_the_slopes_meet(weights: list[float]) -> None:
    rng, s = np.random.default_rng(7), np.array(weights)
    z, t = rng.normal(0, 3, (6, 3)), np.array([0, 1, 2, 0, 1, 1])
    rows, M = np.eye(3)[t], s.sum() ** 2 / (s**2).sum()

    def L(beta: Any) -> Any:
        return SoftmaxCrossEntropy().forward(beta * z, rows, s) + PRIOR / M * (beta - 1 - np.log(beta))

    beta = 1 / fit_temperature(z, t, s)
    assert L(beta + 1j * H).imag / H == pytest.approx(0, abs=1e-9)
    assert L(beta) < min(L(0.99 * beta), L(1.01 * beta), L(1))
    assert L(1) == SoftmaxCrossEntropy().forward(z, rows, s)
    log_density = PRIOR * np.log(2 + 1j * H) - PRIOR * (2 + 1j * H)  # of the gamma distribution
    assert log_density.imag / H == pytest.approx(-PRIOR * (1 - 1 / 2), rel=1e-14)


def test_every_equation_has_its_test_and_every_test_its_equation() -> None:
    equations = re.findall(r"^### \((\w+)\)", DERIVATION, re.MULTILINE)
    tests = [re.match(r"test_equation_(\d+[a-z]?)_", name) for name in globals()]
    assert sorted(equations) == sorted(test[1] for test in tests if test)
    assert len(set(equations)) == len(equations)
    assert len(re.findall("```math", DERIVATION)) == len(equations)


def test_every_equation_names_its_code_and_the_codes_docstring_names_it() -> None:
    sections = re.split(r"^### \((\w+)\)", DERIVATION, flags=re.MULTILINE)
    for number, section in zip(sections[1::2], sections[2::2], strict=True):
        (code,) = re.findall(r"^\*Code:\* (.*)$", section, re.MULTILINE)
        for path in re.findall(r"`([\w.]+)`", code):
            module, _, rest = path.partition(".")[2].partition(".")
            found: object = importlib.import_module(f"minnet.{module}")
            for name in rest.split("."):
                found = getattr(found, name)
            named = re.findall(r"eqs?\. ([\w, ]+)", found.__doc__ or "")
            assert number in re.findall(r"\b\d+[a-z]?\b", " ".join(named)), f"{path} does not name equation {number}"
