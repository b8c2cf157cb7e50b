"""Is the loss exact, is its gradient y − t over N, and are targets checked?"""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minnet import SoftmaxCrossEntropy
from minnet.layers import Array
from minnet.output import log_softmax
from minnet.support.expect import targets as target_rows


def test_worked_by_hand() -> None:
    """Logits ln 1, ln 2, ln 5 of one sample and three equal ones of another: y = (1, 2, 5)/8 and (1, 1, 1)/3."""
    output = SoftmaxCrossEntropy()
    z, t = np.array([[math.log(1), math.log(2), math.log(5)], [7.0, 7.0, 7.0]]), np.array([[0.0, 1, 0], [1, 0, 0]])
    assert output.forward(z, t) == pytest.approx((math.log(4) + math.log(3)) / 2, rel=1e-15)
    np.testing.assert_allclose(output.backward(), [[1 / 16, -3 / 8, 5 / 16], [-1 / 3, 1 / 6, 1 / 6]], rtol=1e-14)
    np.testing.assert_allclose(output.probabilities(z), [[1 / 8, 2 / 8, 5 / 8], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_huge_logits_give_the_exact_loss_and_finite_gradients(dtype: type, size: float) -> None:
    output, size = SoftmaxCrossEntropy(), float(dtype(size))
    z: Array = np.array([[size, -size, 0], [-size, size, 0], [size, size, -size]], dtype=dtype)
    t: Array = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=dtype)
    loss = output.forward(z, t)
    assert loss.dtype == dtype
    assert loss == pytest.approx((0 + 2 * size + math.log(2)) / 3, rel=float(np.finfo(dtype).eps))
    expected_dz: Array = np.array([[0.0, 0, 0], [-1, 1, 0], [0.5, -0.5, 0]])
    np.testing.assert_allclose(output.backward() * 3, expected_dz, atol=1e-7)


def test_each_row_is_shifted_by_its_own_maximum() -> None:
    z = np.array([[1e4, 1e4 - 1], [-1e4, -1e4 - 1]])
    np.testing.assert_allclose(np.exp(log_softmax(z)), np.tile([1 / (1 + np.exp(-1)), 1 / (1 + np.e)], (2, 1)))


@settings(deadline=None)
@given(
    st.lists(st.lists(st.floats(-50, 50), min_size=3, max_size=3), min_size=1, max_size=5),
    st.floats(-1e3, 1e3),
)
def test_probabilities_sum_to_1_and_a_shift_changes_nothing(rows: list[list[float]], shift: float) -> None:
    z = np.array(rows)
    y = SoftmaxCrossEntropy().probabilities(z)
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-13)
    np.testing.assert_allclose(SoftmaxCrossEntropy().probabilities(z + shift), y, rtol=1e-10, atol=1e-300)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 5), st.sampled_from([(), (2,)]))
def test_dz_is_the_derivative_of_the_loss(seed: int, N: int, K: int, stack: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    z, t = rng.normal(0, 3, (*stack, N, K)), rng.dirichlet(np.ones(K), size=N)
    output = SoftmaxCrossEntropy()
    loss = output.forward(z, t)
    assert loss.shape == stack
    dz = output.backward()
    numeric = np.empty(z.shape)
    for index in np.ndindex(*z.shape):
        stepped = z.astype(complex)
        stepped[index] += 1e-30j
        numeric[index] = SoftmaxCrossEntropy().forward(stepped, t).sum().imag / 1e-30
    np.testing.assert_allclose(dz, numeric, atol=1e-14)
    np.testing.assert_allclose(dz.sum(axis=-1), 0, atol=1e-15)


def test_the_loss_of_soft_targets_is_their_cross_entropy() -> None:
    z, t = np.array([[1.0, 2.0, 3.0]]), np.array([[0.2, 0.3, 0.5]])
    expected = -sum(p * (v - math.log(sum(map(math.exp, z[0])))) for p, v in zip(t[0], z[0], strict=True))
    assert SoftmaxCrossEntropy().forward(z, t) == pytest.approx(expected, rel=1e-15)


def test_backward_before_forward_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'y'"):  # a network says more
        SoftmaxCrossEntropy().backward()


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_class_numbers_become_rows(dtype: type) -> None:
    np.testing.assert_array_equal(target_rows(np.array([2, 0], dtype=dtype), 3), [[0, 0, 1], [1, 0, 0]])
    rows = np.array([[0.25, 0.75], [1, 0]])
    np.testing.assert_array_equal(target_rows(rows, 2), rows)
    assert target_rows(rows, 2, np.float32).dtype == np.float32
    np.testing.assert_array_equal(target_rows([[0, 1], [1, 0]], 2), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("t", "error", "message"),
    [
        ([0, 3], ValueError, r"class numbers must lie in 0 … 2, got 3 at index 1"),
        ([-1, 0], ValueError, r"class numbers must lie in 0 … 2, got -1 at index 0"),
        ([0.0, 1.0], TypeError, r"must be integers, .* got float64"),
        (["a", "b"], TypeError, r"np\.unique\(labels, return_inverse=True\)"),
        ([True, False], TypeError, r"must be integers, .* got bool"),
        (np.array([0, None]), TypeError, r"must be integers, .* got object"),
        ([[0], [1]], ValueError, r"expected targets of shape \(N,\) or \(N, 3\), got \(2, 1\)"),
        (1, ValueError, r"got \(\)"),
        ([[0.5, 0.5]], ValueError, r"\(N, 3\), got \(1, 2\)"),
        ([[0.5, 0.25, 0.5]], ValueError, r"must sum to 1 .* got \[0\.5  0\.25 0\.5 \] at index 0"),
        ([[1, 0, 0], [1, 1, 0]], ValueError, r"must sum to 1 .* got \[1 1 0\] at index 1"),
        ([[1.5, -0.5, 0]], ValueError, r"be at least 0 .* got .* at index 0"),
        ([[np.nan, 0.5, 0.5]], ValueError, r"must sum to 1 .* got \[nan 0\.5 0\.5\]"),
        ([[1, 0, 0], [1, 1, -1]], ValueError, r"be at least 0 .* got \[ 1  1 -1\] at index 1"),
        ([[1, 0, 0], [1, 0, 0], [1, 0, np.inf]], ValueError, r"must sum to 1 .* got \[ 1\.  0\. inf\] at index 2"),
        ([["a", "b", "c"]], TypeError, r"and probabilities numbers, got <U1"),
    ],
)
def test_targets_that_are_none_are_refused(t: npt.ArrayLike, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        target_rows(t, 3)


def test_soft_targets_that_are_rounded_are_made_to_sum_to_1() -> None:
    thirds: Array = np.full((2, 3), 1 / 3, dtype=np.float32)
    np.testing.assert_allclose(target_rows(thirds, 3).sum(axis=1), 1, rtol=1e-15)
