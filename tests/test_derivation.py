"""Is every equation of docs/derivation.md true? Each test bears its equation's number and checks the statement."""

import math
import pkgutil
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
    Network,
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
from minnet.lab.long_way import CrossEntropy, LogSumExp, Softmax
from minnet.lab.trace import trace
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
    np.testing.assert_allclose(Softmax().forward(Z[None])[0], Y, rtol=1e-14)
    assert Y.sum() == pytest.approx(1, rel=1e-15)
    assert (jacobian() != 0).all()  # every y depends on every z


def test_equation_1a_logits_are_log_odds_but_for_a_shift() -> None:
    y = SoftmaxCrossEntropy().probabilities(Z[None])[0]
    for i, k in np.ndindex(5, 5):
        assert math.log(y[i] / y[k]) == pytest.approx(Z[i] - Z[k], abs=1e-14)
        raised = softmax(Z + np.eye(5)[i])
        assert i == k or raised[i] / raised[k] == pytest.approx(math.e * Y[i] / Y[k], rel=1e-13)
    assert softmax(Z[:2])[0] == pytest.approx(Sigmoid().forward(Z[:1] - Z[1:2])[0], rel=1e-14)


def test_equation_2_cross_entropy() -> None:
    assert SoftmaxCrossEntropy().forward(Z[None], T[None]) == pytest.approx(-sum(T * np.log(Y)), rel=1e-14)
    assert SoftmaxCrossEntropy().forward(Z[None], np.eye(5)[[2]]) == pytest.approx(-math.log(Y[2]), rel=1e-14)
    assert CrossEntropy().forward(Y[None], T[None]) == pytest.approx(-sum(T * np.log(Y)), rel=1e-14)


def test_equation_2a_the_least_cross_entropy_is_the_largest_likelihood_and_honest() -> None:
    rng = np.random.default_rng(8)
    z, t = rng.normal(size=(6, 3)), np.eye(3)[[0, 1, 2, 2, 1, 0]]
    likelihood = math.prod(softmax(row)[label] for row, label in zip(z, t.argmax(axis=1), strict=True))
    assert math.exp(-6 * SoftmaxCrossEntropy().forward(z, t)) == pytest.approx(likelihood, rel=1e-13)
    honest = -(T * np.log(T)).sum()
    for y in rng.dirichlet(np.ones(5), 50):
        assert -(T * np.log(y)).sum() > honest
        assert (T * (np.log(y) - np.log(T))).sum() <= (y - T).sum() + 1e-15
        squared, least = ((T * ((each - np.eye(5)) ** 2).sum(axis=1)).sum() for each in (y, T))
        assert squared > least


def test_equation_2b_the_chain_rule_adds_over_all_ways() -> None:
    rng = np.random.default_rng(9)
    dy = rng.normal(size=5)  # of any function of y, here of Σ dy·y
    slopes = [(dy * softmax(z)).sum().imag / H for z in steps(Z)]
    np.testing.assert_allclose([sum(dy[k] * jacobian()[k, i] for k in range(5)) for i in range(5)], slopes, atol=1e-15)
    layer = Softmax()
    layer.forward(Z[None])
    np.testing.assert_allclose(layer.backward(dy[None])[0], slopes, atol=1e-15)


def test_equation_3_the_targets_stay_outside_and_the_sum_is_over_all_classes() -> None:
    slopes_of_log_y = np.stack([np.log(softmax(z)).imag / H for z in steps(Z)], axis=1)
    np.testing.assert_allclose(-(T[:, None] * slopes_of_log_y).sum(axis=0), slope_of_the_loss(), rtol=1e-13)
    diagonal_only = -T * np.diagonal(slopes_of_log_y)
    assert np.abs(diagonal_only - slope_of_the_loss()).max() > 0.1


def test_equation_4_the_chain_rule() -> None:
    cross_entropy = CrossEntropy()
    cross_entropy.forward(Y[None], T[None])
    np.testing.assert_allclose(cross_entropy.backward()[0], -T / Y, rtol=1e-15)
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


def test_equation_7a_the_jacobian_is_a_matrix_whose_rows_and_columns_sum_to_0() -> None:
    layer = Softmax()
    layer.forward(Z[None])
    J = layer.jacobian[0]
    np.testing.assert_allclose(J, jacobian(), atol=1e-15)
    np.testing.assert_allclose(J, np.diag(Y) - Y[None].T @ Y[None], atol=1e-15)
    np.testing.assert_allclose([J.sum(axis=0), J.sum(axis=1)], 0, atol=1e-15)
    np.testing.assert_allclose(-(T / Y) @ J, slope_of_the_loss(), atol=1e-14)


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


def test_equation_9a_the_same_in_two_lines() -> None:
    def two_lines(z: Array) -> Any:
        return np.log(np.exp(z).sum()) - (T * z).sum()

    assert two_lines(Z) == pytest.approx(-(T * np.log(Y)).sum(), rel=1e-14)
    np.testing.assert_allclose([two_lines(z).imag / H for z in steps(Z)], Y - T, atol=1e-15)
    both = LogSumExp()
    assert both.forward(Z[None], T[None]) == pytest.approx(two_lines(Z), rel=1e-14)
    np.testing.assert_allclose(both.backward()[0], Y - T, atol=1e-15)


def test_equation_9b_behind_softmax_the_squared_errors_gradient_fades_where_it_is_most_wrong() -> None:
    slopes = [((softmax(z) - T) ** 2).sum().imag / 2 / H for z in steps(Z)]
    np.testing.assert_allclose(Y * (Y - T - ((Y - T) * Y).sum()), slopes, atol=1e-15)
    layer = Softmax()
    layer.forward(Z[None])
    np.testing.assert_allclose(layer.backward((Y - T)[None])[0], slopes, atol=1e-15)
    for z in (-10.0, -1.0, 2.0):
        y = layer.forward(np.array([[z, 0]]))
        of_two = layer.backward(y - [[1, 0]])[0, 0]
        assert of_two == pytest.approx(2 * y[0, 0] * (1 - y[0, 0]) * (y[0, 0] - 1), rel=1e-12)
    y = layer.forward(np.array([[-10.0, 0]]))
    assert abs(layer.backward(y - [[1, 0]])[0, 0]) < 1e-4 < 0.9999 < abs((y - [1, 0])[0, 0])


@pytest.mark.parametrize("N", [1, 2, 7])
def test_equation_10_the_mean_and_its_one_over_n(N: int) -> None:
    z, t = np.random.default_rng(N).normal(size=(N, 4)), np.eye(4)[np.arange(N) % 4]
    output = SoftmaxCrossEntropy()
    singles = [SoftmaxCrossEntropy().forward(z[[n]], t[[n]]) for n in range(N)]
    assert output.forward(z, t) == pytest.approx(np.mean(singles), rel=1e-14)
    np.testing.assert_allclose(output.backward(), (output.probabilities(z) - t) / N, rtol=1e-14)
    size = np.abs(output.backward()).sum()  # the same batch twice over has the same gradient, in twice as many rows
    output.forward(np.tile(z, (2, 1)), np.tile(t, (2, 1)))
    assert np.abs(output.backward()).sum() == pytest.approx(size, rel=1e-13)
    output.forward(z, t)
    for n in range(N):
        for i in range(4):
            stepped = z.astype(complex)
            stepped[n, i] += 1j * H
            assert output.backward()[n, i] == pytest.approx(
                SoftmaxCrossEntropy().forward(stepped, t).imag / H, abs=1e-15
            )


@pytest.mark.parametrize("shift", [-300.0, -1.0, 5.0, 300.0])
def test_equation_11a_a_shift_changes_nothing(shift: float) -> None:
    np.testing.assert_allclose(np.exp(Z - shift) / np.exp(Z - shift).sum(), Y, rtol=1e-12)
    np.testing.assert_allclose(log_softmax(Z - shift), np.log(Y), rtol=1e-12)
    far_apart = np.array([[1000.0, 1001.0], [-1000.0, -1001.0]])
    np.testing.assert_allclose(np.exp(log_softmax(far_apart)).sum(axis=1), 1)
    with np.errstate(invalid="ignore"):  # by the whole batch's maximum, the second row is 0/0
        by_batch = np.exp(far_apart - far_apart.max())
        assert np.isnan(by_batch / by_batch.sum(axis=1, keepdims=True)).any()


def test_equation_11b_log_sum_exp_is_exact_where_y_is_rounded_to_0() -> None:
    shifted = Z - Z.max()
    np.testing.assert_allclose(shifted - np.log(np.exp(shifted).sum()), np.log(Y), rtol=1e-13)
    np.testing.assert_allclose(log_softmax(Z), np.log(Y), rtol=1e-13)
    np.testing.assert_array_equal(log_softmax(np.array([0.0, 20_000])), [-20_000, 0])
    assert np.exp(log_softmax(np.array([0.0, 20_000])))[0] == 0
    with np.errstate(divide="ignore", invalid="ignore"):  # the long way fails
        softmax_alone, cross_entropy = Softmax(), CrossEntropy()
        cross_entropy.forward(softmax_alone.forward(np.array([[0.0, 20_000]])), np.array([[1.0, 0]]))
        assert not np.isfinite(softmax_alone.backward(cross_entropy.backward())).all()


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
    layer, (x, dz) = Linear(3, 2), np.split(np.random.default_rng(2).normal(size=(4, 5)), [3], axis=1)
    layer.W, layer.b, layer.dW, layer.db = np.ones((3, 2)), np.ones((1, 2)), np.empty((3, 2)), np.empty((1, 2))
    layer.forward(x)
    layer.backward(dz)
    by_index = [[sum(dz[n, j] * x[n, i] for n in range(4)) for j in range(2)] for i in range(3)]
    np.testing.assert_allclose(layer.dW, by_index, rtol=1e-13)
    np.testing.assert_allclose(layer.dW, sum(np.outer(x[n], dz[n]) for n in range(4)), rtol=1e-13)


def test_equation_12b_the_biass_gradient() -> None:
    np.testing.assert_allclose(*linear_and_numeric("b"), rtol=1e-13)


def test_equation_12c_the_inputs_gradient() -> None:
    np.testing.assert_allclose(*linear_and_numeric("x"), rtol=1e-13)


def test_equation_12d_from_the_left_it_is_a_row_times_matrices_and_cheaper() -> None:
    D, hidden, K = 64, 64, 10
    network = Network([Linear(D, hidden), Tanh(), Linear(hidden, K)], dtype="float64")
    x, t = np.random.default_rng(0).normal(size=(1, D)), np.eye(K)[[3]]
    first, tanh, last = network.layers
    assert isinstance(first, Linear)
    assert isinstance(last, Linear)
    found = trace(network, x, t)
    F, dz = np.diag(1 - found["1.a"][0] ** 2), found["2.dz"]
    np.testing.assert_allclose(((dz @ last.W.T) * np.diag(F)) @ first.W.T, found["dx"], rtol=1e-12)
    np.testing.assert_allclose(dz @ (last.W.T @ (F @ first.W.T)), found["dx"], atol=1e-16, rtol=1e-11)
    stepped = x + 1j * H * np.eye(D)  # a row for each entry of x
    losses = [SoftmaxCrossEntropy().forward(last.forward(tanh.forward(first.forward(row[None]))), t) for row in stepped]
    np.testing.assert_allclose(found["dx"][0], np.imag(losses) / H, atol=1e-16, rtol=1e-11)


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
    sigmoid, saturated = Sigmoid(), np.array([-10.0, 0, 10])
    sigmoid.forward(saturated)
    np.testing.assert_allclose(sigmoid.backward(np.ones(3)), [0.000045, 0.25, 0.000045], atol=5e-7)
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


def test_equation_13f_step_by_step() -> None:
    x, N, epsilon = np.random.default_rng(5).normal(0, 0.01, 6), 6, 1e-5  # ε is no longer tiny beside the variance

    def statistics(x: Array) -> tuple[Any, Any, Any, Array]:
        mean, variance = x.mean(), ((x - x.mean()) ** 2).mean()
        scale = np.sqrt(variance + epsilon)
        return mean, variance, scale, (x - mean) / scale

    mean, variance, scale, x_hat = statistics(x)
    same = np.eye(N)
    for n, stepped in enumerate(steps(x)):
        of_mean, of_variance, of_scale, of_x_hat = (np.imag(each) / H for each in statistics(stepped))
        assert of_mean == pytest.approx(1 / N, rel=1e-13)
        assert of_variance == pytest.approx(2 / N * ((x - mean) * (same[n] - 1 / N)).sum(), abs=1e-16)
        assert of_variance == pytest.approx(2 / N * (x[n] - mean), abs=1e-16)
        assert of_scale == pytest.approx(x_hat[n] / N, abs=1e-15)
        quotient = (same[n] - 1 / N) / scale - (x - mean) / scale**2 * x_hat[n] / N
        np.testing.assert_allclose(of_x_hat, quotient, rtol=1e-11)
        np.testing.assert_allclose(of_x_hat, (same[n] - 1 / N - x_hat * x_hat[n] / N) / scale, rtol=1e-11)
    assert (x_hat**2).mean() == pytest.approx(variance / (variance + epsilon), rel=1e-13)
    assert (x_hat**2).mean() < 0.95


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


def hidden_layers(activation: Any, D: int, width: int, networks: int) -> Any:
    """Two hidden layers of a width, in a stack of networks with minnet's weights at first."""
    return Network([Linear(D, width), activation(), Linear(width, 10)], seed=range(networks), dtype="float64")


def test_equation_13i_he_keeps_the_size_on_the_way_forward() -> None:
    rng = np.random.default_rng(10)
    x = rng.normal(1, 2, (200, 60))  # the mean need not be 0
    network = hidden_layers(ReLU, 60, 30, 400)  # D > H, so that σ² = 2/D
    first, relu, _ = network.layers
    assert isinstance(first, Linear)
    assert (first.W**2).mean() == pytest.approx(2 / 60, rel=0.01)
    z = first.forward(x)
    assert (z**2).mean() == pytest.approx(60 * (2 / 60) * (x**2).mean(), rel=0.03)
    a = relu.forward(z)
    assert (a**2).mean() == pytest.approx((z**2).mean() / 2, rel=0.03)
    assert (a**2).mean() == pytest.approx((x**2).mean(), rel=0.04)


@pytest.mark.parametrize("activation", [ReLU, Tanh, Sigmoid])
def test_equation_13j_each_layer_multiplies_the_gradient_by_its_slopes(activation: Any) -> None:
    rng = np.random.default_rng(11)
    D, width = 30, 60
    f, linear = activation(), Linear(D, width)  # H > D, so that σ² = 2/H for a ReLU
    linear.W = rng.normal(0, 1 / math.sqrt(width), (500, D, width))
    linear.b, linear.dW, linear.db = (np.zeros((500, *shape)) for shape in ((1, width), (D, width), (1, width)))
    z = rng.normal(size=(500, 4, D))
    linear.forward(f.forward(z))
    dz = rng.normal(size=(500, 4, width))
    da = linear.backward(dz)
    assert da is not None
    assert (da**2).mean() == pytest.approx(width * (1 / width) * (dz**2).mean(), rel=0.02)
    slopes = f.backward(np.ones(z.shape))
    before = f.backward(da)
    assert (before**2).mean() == pytest.approx((slopes**2).mean() * (dz**2).mean(), rel=0.02)
    if activation is ReLU:
        assert (slopes**2).mean() == pytest.approx(1 / 2, rel=0.02)
        (first,) = (each for each in hidden_layers(ReLU, D, width, 400).layers[:1] if isinstance(each, Linear))
        assert (first.W**2).mean() == pytest.approx(2 / width, rel=0.02)
    elif activation is Sigmoid:
        assert slopes.max() <= 1 / 4
        assert (before**2).mean() < (dz**2).mean() / 16


def test_equation_13j_gradients_vanish_as_measured() -> None:
    x, t = load_dataset("digits").train
    hidden = [layer for _ in range(20) for layer in (Linear(64, 64), Sigmoid())]
    network = Network([*hidden, Linear(64, 10)], seed=range(10), dtype="float64")
    network.forward(x[:256], t[:256])
    network.backward()
    norms = [np.linalg.norm(layer.dW, axis=(-2, -1)) for layer in network.layers if isinstance(layer, Linear)]
    first, last = (np.exp(np.log(norms[place]).mean()) for place in (0, 19))
    assert f"{(first / last) ** (1 / 19):.2f} times the norm" in " ".join(DERIVATION.split())
    assert f"{first / 1e-13:.0f} \\cdot 10^{{-13}}" in DERIVATION


def test_equation_13k_glorot_lies_between_the_two_ways() -> None:
    (first,) = (each for each in hidden_layers(Tanh, 60, 30, 400).layers[:1] if isinstance(each, Linear))
    r = math.sqrt(6 / 90)
    assert 0.999 * r < first.W.max() < r
    assert (first.W**2).mean() == pytest.approx(r**2 / 3, rel=0.01)
    assert (first.W**2).mean() == pytest.approx(2 / 90, rel=0.01)
    assert 1 / 60 < 2 / 90 < 1 / 30


def test_equation_14a_a_small_step_lowers_the_loss_by_lr_times_the_squared_gradient(batch: tuple[Array, Array]) -> None:
    network, lr = make_network(), 1e-6
    before = network.forward(*batch)
    network.backward()
    theta, g = network.theta.copy(), network.dtheta.copy()
    SGD(lr).step(network)
    np.testing.assert_allclose(theta - network.theta, lr * g, rtol=0, atol=1e-15)
    assert (before - network.forward(*batch)) / lr == pytest.approx(g @ g, rel=1e-4)


def test_equation_14b_the_velocity_is_a_fading_sum_of_gradients() -> None:
    network, optimizer, mu, lr = make_network((1, 2)), SGD(0.1, 0.8), 0.8, 0.1
    theta = network.theta.copy()
    gradients = np.random.default_rng(0).normal(size=(6, theta.size))
    for k in range(6):
        network.dtheta[...] = gradients[k]
        optimizer.step(network)
        u = sum(mu ** (k - j) * gradients[j] for j in range(k + 1))
        theta = theta - lr * u
        np.testing.assert_allclose(network.theta, theta, rtol=1e-12)
    network.dtheta[...] = 1
    for _ in range(200):
        optimizer.step(network)
    assert optimizer.state
    np.testing.assert_allclose(optimizer.state["velocity"], 1 / (1 - mu), rtol=1e-12)


def test_equation_14c_nesterov_takes_the_gradient_where_the_velocity_leads(batch: tuple[Array, Array]) -> None:
    mu, lr = 0.8, 0.1
    network, optimizer = make_network(), SGD(lr, mu, nesterov=True)
    position, u = network.theta.copy(), np.zeros(network.theta.size)
    for _ in range(5):
        theta = position - lr * mu * u
        ahead = network.at(theta)
        ahead.forward(*batch)
        ahead.backward()
        g, before, from_position = ahead.dtheta, u, position
        u = mu * u + g
        position = position - lr * u
        lines = [
            position - lr * mu * u,
            from_position - lr * u - lr * mu * u,
            theta + lr * mu * before - lr * u - lr * mu * u,
            theta - lr * g - lr * mu * u,
            theta - lr * (g + mu * u),
        ]
        network.forward(*batch)
        network.backward()
        optimizer.step(network)
        for line in lines:
            np.testing.assert_allclose(network.theta, line, rtol=1e-10)


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


@pytest.mark.parametrize(("g", "share"), [(1e-3, 1.0), (1e-8, 0.5), (1e-10, 0.0099)])
def test_equation_14e_a_gradient_as_tiny_as_epsilon_makes_a_short_step(g: float, share: float) -> None:
    network, optimizer = make_network((1, 2)), Adam(0.001)
    before = network.theta.copy()
    network.dtheta[...] = g
    optimizer.step(network)
    np.testing.assert_allclose(before - network.theta, 0.001 * g / (g + 1e-8), rtol=1e-9)
    np.testing.assert_allclose(before - network.theta, 0.001 * share, rtol=1e-3)


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


def test_equation_14k_a_difference_quotient_has_two_errors() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", DERIVATION, re.DOTALL | re.M)
    names: dict[str, Any] = {"np": np}
    exec(program, names)  # noqa: S102 - the page's own example
    f, slope = names["f"], names["slope"]
    errors = [abs(names[name] / slope - 1) for name in ("one_sided", "central", "complex_step")]
    assert 1e-10 < errors[0] < 1e-7
    assert 1e-13 < errors[1] < 1e-9
    assert errors[2] < 1e-15
    second, third = (2 * math.exp(1.5) * each for each in (math.cos(1.5), math.cos(1.5) - math.sin(1.5)))
    for h in (1e-2, 1e-3):
        assert (f(1.5 + h) - f(1.5)) / h - slope == pytest.approx(h / 2 * second + h**2 / 6 * third, rel=0.01)
        assert (f(1.5 + h) - f(1.5 - h)) / (2 * h) - slope == pytest.approx(h**2 / 6 * third, rel=0.01)
    for h in (1e-11, 1e-13):  # rounding
        one_sided = [
            abs((f(x + h) - f(x)) / h - np.exp(x) * (np.sin(x) + np.cos(x))) for x in np.linspace(1.4, 1.6, 99)
        ]
        assert 0.1 < np.median(one_sided) / (2**-53 * f(1.5) / h) < 10


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
    assert set(equations) == {test[1] for test in tests if test}
    assert len(set(equations)) == len(equations)
    assert len(re.findall("```math", DERIVATION)) == len(equations)


def test_every_symbol_has_one_meaning() -> None:
    table = re.findall(r"^\| (\$`.*?) \| .* \|$", DERIVATION, re.M)
    symbols = [symbol.strip() for row in table for symbol in re.sub(r"[$`]", "", row).split(",")]
    assert {"m", "k", "E", "r", r"\gamma", r"\varepsilon", r"\mu", "u"} < set(symbols)
    assert len(set(symbols)) == len(symbols)


def test_every_equation_names_its_code_and_the_codes_docstring_names_it() -> None:
    sections = re.split(r"^### \((\w+)\)", DERIVATION, flags=re.MULTILINE)
    for number, section in zip(sections[1::2], sections[2::2], strict=True):
        (code,) = re.findall(r"^\*Code:\* (.*)$", section, re.MULTILINE)
        for path in re.findall(r"`([\w.]+)`", code):
            named = re.findall(r"eqs?\. ([\w, ]+)", pkgutil.resolve_name(path).__doc__ or "")
            assert number in re.findall(r"\b\d+[a-z]?\b", " ".join(named)), f"{path} does not name equation {number}"
