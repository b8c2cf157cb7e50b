"""Does each layer compute what its docstring says, for stacks too, and leave its caller's arrays alone?"""

import numpy as np
import pytest

from minnet import Linear, Network, ReLU, Sigmoid, SoftmaxCrossEntropy, Tanh
from minnet.layers import Array, Layer
from tests.conftest import ACTIVATIONS


def bound(layer: Linear, rng: np.random.Generator, stack: tuple[int, ...] = ()) -> Linear:
    layer.W, layer.b = rng.normal(size=(*stack, layer.D, layer.H)), rng.normal(size=(*stack, 1, layer.H))
    layer.dW, layer.db = np.zeros_like(layer.W), np.zeros_like(layer.b)
    return layer


def numeric_dx(layer: Layer, x: Array, weights: Array) -> Array:
    """∂/∂x of Σ weights · layer(x), by complex steps."""
    dx = np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        stepped = x.astype(complex)
        stepped[index] += 1e-30j
        dx[index] = (weights * layer.forward(stepped)).sum().imag / 1e-30
    return dx


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (2, 4, 3)])
def test_an_activations_backward_is_the_derivative_of_its_forward(
    activation: type[ReLU | Tanh | Sigmoid], shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    layer, x, da = activation(), rng.normal(size=shape), rng.normal(size=shape)
    expected = numeric_dx(layer, x, da)
    layer.forward(x)
    np.testing.assert_allclose(layer.backward(da), expected, rtol=1e-13, atol=1e-15)
    assert np.abs(expected).max() > 0


@pytest.mark.parametrize("stack", [(), (3,)])
def test_linears_dx_dW_and_db_are_derivatives(stack: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    layer = bound(Linear(4, 3), rng, stack)
    x, dz = rng.normal(size=(*stack, 5, 4)), rng.normal(size=(*stack, 5, 3))
    expected_dx = numeric_dx(layer, x, dz)
    layer.forward(x)
    dx = layer.backward(dz)
    assert dx is not None
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-12)
    for name in ("W", "b"):
        parameter = getattr(layer, name)
        expected = np.empty(parameter.shape)
        for index in np.ndindex(*parameter.shape):
            stepped = parameter.astype(complex)
            stepped[index] += 1e-30j
            setattr(layer, name, stepped)
            expected[index] = (dz * layer.forward(x)).sum().imag / 1e-30
        setattr(layer, name, parameter)
        np.testing.assert_allclose(getattr(layer, "d" + name), expected, rtol=1e-12)


def test_linear_by_hand() -> None:
    layer = Linear(2, 2)
    layer.W, layer.b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[10.0, 20.0]])
    layer.dW, layer.db = np.zeros((2, 2)), np.zeros((1, 2))
    np.testing.assert_array_equal(layer.forward(np.array([[1.0, 1.0], [0.0, 2.0]])), [[14, 26], [16, 28]])
    np.testing.assert_array_equal(layer.backward(np.array([[1.0, 0.0], [0.0, 1.0]])), [[1, 3], [2, 4]])
    np.testing.assert_array_equal(layer.dW, [[1, 0], [1, 2]])
    np.testing.assert_array_equal(layer.db, [[1, 1]])


def test_a_stack_of_linears_gives_what_its_members_give() -> None:
    rng = np.random.default_rng(0)
    stack = bound(Linear(4, 3), rng, (2,))
    x, dz = rng.normal(size=(5, 4)), rng.normal(size=(2, 5, 3))
    z, dx = stack.forward(x), stack.backward(dz)
    assert dx is not None
    for s in range(2):
        single = bound(Linear(4, 3), rng)
        single.W, single.b = stack.W[s], stack.b[s]
        np.testing.assert_allclose(z[s], single.forward(x), rtol=1e-14)
        single_dx = single.backward(dz[s])
        assert single_dx is not None
        np.testing.assert_allclose(dx[s], single_dx, rtol=1e-14)
        np.testing.assert_allclose(stack.dW[s], single.dW, rtol=1e-14)
        np.testing.assert_allclose(stack.db[s], single.db, rtol=1e-14)


@pytest.mark.parametrize("layer", [Linear(3, 3), ReLU(), Tanh(), Sigmoid()], ids=repr)
def test_no_array_of_the_callers_is_changed_and_backward_can_be_repeated(layer: Layer) -> None:
    rng = np.random.default_rng(0)
    if isinstance(layer, Linear):
        bound(layer, rng)
    x, doutput = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    x_before, doutput_before = x.copy(), doutput.copy()
    output = layer.forward(x)
    output_before = output.copy()
    first = np.array(layer.backward(doutput))
    gradients = [getattr(layer, "d" + name).copy() for name in layer.shapes]
    np.testing.assert_array_equal(layer.backward(doutput), first)
    for name, gradient in zip(layer.shapes, gradients, strict=True):
        np.testing.assert_array_equal(getattr(layer, "d" + name), gradient)
    for array, before in ((x, x_before), (doutput, doutput_before), (output, output_before)):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("layer", [Linear(3, 3), ReLU(), Tanh(), Sigmoid()], ids=repr)
def test_backward_before_forward_is_an_error(layer: Layer) -> None:
    with pytest.raises(AttributeError, match=r"has no attribute '[xza]'"):  # a network says more
        layer.backward(np.ones((2, 3)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_take_any_finite_input(dtype: type) -> None:
    x: Array = np.array([-np.finfo(dtype).max, -1e4, -100, 0, 100, 1e4, np.finfo(dtype).max], dtype=dtype)
    for activation in (Tanh(), Sigmoid()):
        a = activation.forward(x)
        assert a.dtype == dtype
        np.testing.assert_array_equal(a[[0, -1]], [-1 if isinstance(activation, Tanh) else 0, 1])
        assert np.isfinite(activation.backward(np.ones_like(x))).all()
    assert Sigmoid().forward(np.zeros(1))[0] == 0.5
    np.testing.assert_allclose(Sigmoid().forward(np.array([1.0])), 1 / (1 + np.exp(-1)), rtol=1e-15)


def test_initial_weights_have_the_size_that_suits_what_follows() -> None:
    network = Network([Linear(400, 100), ReLU(), Linear(100, 300), Tanh(), Linear(300, 200)], seed=0, dtype="float64")
    first, second, third = (layer for layer in network.layers if isinstance(layer, Linear))
    np.testing.assert_allclose(first.W.std(), np.sqrt(2 / 400), rtol=0.02)
    for layer in (second, third):
        limit = np.sqrt(6 / (layer.D + layer.H))
        assert np.abs(layer.W).max() <= limit
        np.testing.assert_allclose(layer.W.std(), limit / np.sqrt(3), rtol=0.02)
    for layer in (first, second, third):
        assert abs(layer.W.mean()) < 0.02 * layer.W.std()
        assert not layer.b.any()
        layer.b[...] = 1
        layer.initialize(np.random.default_rng(0), None)
        assert not layer.b.any()
    wide = Network([Linear(100, 400), ReLU(), Linear(400, 2)], dtype="float64").layers[0]
    assert isinstance(wide, Linear)
    np.testing.assert_allclose(wide.W.std(), np.sqrt(2 / 400), rtol=0.02)


def test_layers_print_as_they_are_made() -> None:
    assert [repr(layer) for layer in (Linear(3, 4), ReLU(), Tanh(), Sigmoid(), SoftmaxCrossEntropy())] == [
        "Linear(3, 4)", "ReLU()", "Tanh()", "Sigmoid()", "SoftmaxCrossEntropy()",
    ]  # fmt: skip


@pytest.mark.parametrize(("D", "H"), [(0, 3), (3, -1), (2.5, 3), ("4", 3), (True, 2)])
def test_a_width_that_is_none_is_refused(D: int, H: int) -> None:
    with pytest.raises(ValueError, match=r"Linear [DH]: expected an integer of at least 1"):
        Linear(D, H)
