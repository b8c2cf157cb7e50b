"""Do softmax and cross-entropy, one step after the other, arrive at y − t?"""

from typing import Any

import numpy as np
import pytest

from minnet import Linear, Network, SoftmaxCrossEntropy, check_gradients
from minnet.lab.check import check_class
from minnet.lab.long_way import CrossEntropy, LogSumExp, Softmax
from minnet.layers import Array

H = 1e-30


class LongWay:
    """The two steps as an output layer."""

    def forward(self, z: Array, t: Array) -> Array:
        self.softmax, self.cross_entropy = Softmax(), CrossEntropy()
        return self.cross_entropy.forward(self.softmax.forward(z), t)

    def probabilities(self, z: Array) -> Array:
        return Softmax().forward(z)

    def backward(self) -> Array:
        return self.softmax.backward(self.cross_entropy.backward())


def draw(*shape: int) -> tuple[Array, Array]:
    """Draw logits and soft targets."""
    rng = np.random.default_rng(len(shape))
    return rng.normal(0, 2, shape), rng.dirichlet(np.ones(shape[-1]), shape[:-1])


@pytest.mark.parametrize("shape", [(1, 3), (7, 5), (2, 7, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("way", [LongWay, LogSumExp])
def test_both_ways_arrive_where_the_output_layer_does(way: Any, shape: tuple[int, ...]) -> None:
    z, t = draw(*shape)
    one, other = SoftmaxCrossEntropy(), way()
    np.testing.assert_allclose(other.forward(z, t), one.forward(z, t), rtol=1e-13)
    np.testing.assert_allclose(other.backward(), one.backward(), rtol=0, atol=1e-15)


def complex_steps(function: Any, q: Array) -> Array:
    """Differentiate a function of q with respect to each entry of q; its own axes come last."""
    return np.stack([np.imag(function(q + 1j * H * unit)) / H for unit in np.eye(q.size).reshape(-1, *q.shape)])


def test_softmax_alone_has_the_jacobian_of_complex_steps() -> None:
    z, _ = draw(4, 3)
    softmax = Softmax()
    y = softmax.forward(z)
    np.testing.assert_array_equal(y, softmax.y)
    assert softmax.jacobian.shape == (4, 3, 3)
    for n in range(4):
        steps = complex_steps(Softmax().forward, z[n])  # [i, k]
        np.testing.assert_allclose(softmax.jacobian[n], steps.T, atol=1e-15)
    dy = np.random.default_rng(0).normal(size=(4, 3))
    slopes = complex_steps(lambda z: (dy * Softmax().forward(z)).sum(), z).reshape(4, 3)
    np.testing.assert_allclose(softmax.backward(dy), slopes, atol=1e-15)


def test_cross_entropy_alone_has_the_gradient_of_complex_steps() -> None:
    z, t = draw(4, 3)
    y, cross_entropy = Softmax().forward(z), CrossEntropy()
    loss = cross_entropy.forward(y, t)
    np.testing.assert_allclose(cross_entropy.losses, [-(t[n] * np.log(y[n])).sum() for n in range(4)], rtol=1e-15)
    assert loss == cross_entropy.losses.mean()
    slopes = complex_steps(lambda y: CrossEntropy().forward(y, t), y).reshape(4, 3)
    np.testing.assert_allclose(cross_entropy.backward(), slopes, rtol=1e-13)


@pytest.mark.parametrize("cls", [Softmax, LongWay, LogSumExp])
def test_the_check_of_classes_finds_nothing_but_what_the_long_way_cannot_do(cls: Any) -> None:
    report = check_class(cls)
    assert not any(row.wrong for row in report.rows)
    assert [finding.name for finding in report.findings] == (["log-of-zero"] if cls is LongWay else [])


def test_a_network_can_end_with_the_long_way() -> None:
    network = Network([Linear(4, 3)], LongWay(), dtype="float64")
    network.theta[...] = np.random.default_rng(1).normal(size=15)
    x = np.random.default_rng(0).normal(size=(5, 4))
    assert check_gradients(network, x, np.array([0, 1, 2, 1, 0])).error < 1e-12


def test_the_dtype_is_kept() -> None:
    z, t = (array.astype(np.float32) for array in draw(4, 3))
    long_way = LongWay()
    found = long_way.forward(z, t), long_way.softmax.jacobian, long_way.backward()
    assert {array.dtype for array in found} == {np.dtype(np.float32)}
