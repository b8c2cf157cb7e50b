"""Does the check pass everything right, fail everything wrong, and name what it knows?"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minnet import BatchNorm, Linear, Network, ReLU, Sigmoid, SoftmaxCrossEntropy, Tanh
from minnet.lab.check import Report, check_class, check_network
from minnet.lab.mistakes import COMPLEX_TOLERANCE, MISTAKES
from minnet.layers import Array, Layer
from minnet.output import log_softmax
from tests.conftest import ACTIVATIONS, make_network


def names(report: Report) -> list[str]:
    return [finding.name for finding in report.findings]


# Right ones


class Softplus(ReLU):
    """An activation of one's own: log(1 + e^x)."""

    def forward(self, x: Array) -> Array:
        self.x = x
        a: Array = np.log(1 + np.exp(x))
        return a

    def backward(self, da: Array) -> Array:
        dx: Array = da / (1 + np.exp(-self.x))
        return dx


class Scale:
    """A layer of one's own with one parameter per feature, made with D alone."""

    g: Array
    dg: Array

    def __init__(self, D: int) -> None:
        self.shapes = {"g": (1, D)}

    def initialize(self, rng: np.random.Generator, following: object) -> None:
        self.g[...] = 1

    def forward(self, x: Array) -> Array:
        self.x = x
        return x * self.g

    def backward(self, dz: Array) -> Array:
        np.sum(self.x * dz, axis=-2, keepdims=True, out=self.dg)
        return dz * self.g


class Clipped(ReLU):
    """Code that cannot take complex numbers: np.clip of real parts, with kinks at −1 and 1."""

    def forward(self, x: Array) -> Array:
        self.x = x
        a: Array = np.clip(x.real, -1, 1)
        return a

    def backward(self, da: Array) -> Array:
        x = self.x
        return da * ((x > -1) & (x < 1))


class AbsoluteValue(ReLU):
    """np.abs drops the imaginary part in silence."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.abs(x)

    def backward(self, da: Array) -> Array:
        dx: Array = da * np.sign(self.x)
        return dx


class SquaredError(SoftmaxCrossEntropy):
    """Half the squared error of the logits themselves: another canonical pair, with its right gradient."""

    def probabilities(self, z: Array) -> Array:
        return z

    def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
        self.y, self.t = z, t
        loss: Array = ((z - t) ** 2).sum(axis=(-2, -1)) / 2 / z.shape[-2]
        return loss


class BinaryCrossEntropy(SoftmaxCrossEntropy):
    """A sigmoid for each class, and the binary cross-entropies summed: the third canonical pair."""

    def probabilities(self, z: Array) -> Array:
        y: Array = 0.5 + 0.5 * np.tanh(0.5 * z)
        return y

    def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
        self.y, self.t = self.probabilities(z), t
        loss: Array = -(t * np.log(self.y) + (1 - t) * np.log(1 - self.y)).sum(axis=(-2, -1)) / z.shape[-2]
        return loss


@pytest.mark.parametrize(
    "cls", [Linear, ReLU, Tanh, Sigmoid, SoftmaxCrossEntropy, Softplus, Scale, SquaredError, BinaryCrossEntropy]
)
def test_what_is_right_is_found_right_and_exactly_so(cls: type[Any]) -> None:
    report = check_class(cls)
    assert report.right, str(report)
    assert report.rows
    assert max(row.error for row in report.rows) < 1e-12
    assert not report.notes
    assert "right: every gradient agrees" in str(report)


@pytest.mark.parametrize("cls", [Clipped, AbsoluteValue])
def test_code_that_cannot_take_complex_numbers_is_checked_by_differences_and_told_so(cls: type[Any]) -> None:
    report = check_class(cls)
    assert report.right, str(report)
    assert any("central differences were used" in note for note in report.notes)
    assert 0 < max(row.error for row in report.rows) < 1e-6


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (5,), (5, 6), (6, 5, 4)], ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_right_network_raises_a_false_alarm(
    activation: type[ReLU | Tanh | Sigmoid], hidden: tuple[int, ...], seed: int, batch: tuple[Array, Array]
) -> None:
    for dtype in ("float32", "float64"):
        network = make_network((4, *hidden, 3), activation, dtype, seed)
        report = check_network(network, *batch)
        assert report.right, str(report)
        assert len(report.rows) == 2 * (len(hidden) + 1) + 1
        assert max(row.error for row in report.rows) <= 1e-12
        assert network.theta.dtype == dtype


def test_a_network_of_own_layers_and_soft_targets_is_right_too(batch: tuple[Array, Array]) -> None:
    scale: Any = Scale(5)
    network = Network([Linear(4, 5), Softplus(), scale, Linear(5, 3)], dtype="float64")
    assert check_network(network, batch[0], np.full((6, 3), 1 / 3)).right


def test_a_kink_is_avoided(batch: tuple[Array, Array]) -> None:
    network = make_network((4, 5, 3), ReLU)
    network.layers[0].W[...] = 0
    network.layers[0].b[...] = 0
    before = network.theta.copy()
    report = check_network(network, *batch)
    assert report.right, str(report)
    np.testing.assert_array_equal(network.theta, before)


def test_a_comparison_of_zeros_is_no_success(batch: tuple[Array, Array]) -> None:
    class Free(SoftmaxCrossEntropy):
        def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
            loss: Array = 0 * super().forward(z, t)
            return loss

        def backward(self) -> Array:
            return 0 * super().backward()

    report = check_network(Network([Linear(4, 3)], Free()), *batch)
    assert "checked nothing" in report.findings[0].saw

    class Constant(ReLU):
        def forward(self, x: Array) -> Array:
            return np.ones(x.shape)

        def backward(self, da: Array) -> Array:
            return np.zeros(da.shape)

    report = check_class(Constant)
    assert "checked nothing" in report.findings[0].saw


# Wrong ones: a mutant of backward for each name, and what it must be called


def linear(change: Callable[[Any, Array, Array | None], Array | None]) -> type[Linear]:
    class Mutant(Linear):
        def backward(self, dz: Array) -> Array | None:
            return change(self, dz, super().backward(dz))

    return Mutant


def on_dW(f: Callable[[Any, Array], Any]) -> type[Linear]:
    def change(layer: Any, dz: Array, dx: Array | None) -> Array | None:
        layer.dW[...] = f(layer, dz)
        return dx

    return linear(change)


def on_db(f: Callable[[Any, Array], Any]) -> type[Linear]:
    def change(layer: Any, dz: Array, dx: Array | None) -> Array | None:
        layer.db[...] = f(layer, dz)
        return dx

    return linear(change)


def on_dx(f: Callable[[Any, Array, Any], Array]) -> type[Linear]:
    return linear(lambda layer, dz, dx: f(layer, dz, dx))


def on_dz(f: Callable[[Any, Array], Array]) -> type[SoftmaxCrossEntropy]:
    class Mutant(SoftmaxCrossEntropy):
        def backward(self) -> Array:
            return f(self, super().backward())

    return Mutant


def activation(f: Callable[[Array, Array], Array]) -> type[Tanh]:
    class Mutant(Tanh):
        def backward(self, da: Array) -> Array:
            return f(da, self.a)

    return Mutant


def replacing_dW(layer: Any, dz: Array, dx: Array | None) -> Array | None:
    layer.dW = layer.x.mT @ dz
    return dx


def accumulate(layer: Any, dz: Array, dx: Array | None) -> Array | None:
    layer.total = getattr(layer, "total", 0) + layer.dW
    layer.dW[...] = layer.total
    return dx


class KeepsTheFirstBatch(Linear):
    """Remembers the first x it ever saw."""

    def forward(self, x: Array) -> Array:
        first, z = getattr(self, "x", None), super().forward(x)
        self.x = x if first is None or first.shape != x.shape else first
        return z


class InPlaceForward(Tanh):
    """Writes its output into its input."""

    def forward(self, x: Array) -> Array:
        self.a = np.tanh(x, out=x)
        return self.a.copy()


class SinglePrecision(Tanh):
    """Rounds to float32 on the way."""

    def forward(self, x: Array) -> Array:
        return super().forward(x.astype(np.float32))


class OldTranspose(Linear):
    """Right for one network, but .T turns a stack inside out."""

    def backward(self, dz: Array) -> Array | None:
        super().backward(dz)
        return dz @ self.W.T


class Dropout(ReLU):
    """Draws a new mask each time: right, but not to be checked unseeded."""

    def forward(self, x: Array) -> Array:
        self.mask = np.random.default_rng().random(x.shape) < 0.5
        return x * self.mask

    def backward(self, da: Array) -> Array:
        return da * self.mask


class Summed(SoftmaxCrossEntropy):
    """Loss and gradient both of the sum over the batch."""

    def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
        loss: Array = super().forward(z, t) * z.shape[-2]
        return loss

    def backward(self) -> Array:
        dz: Array = super().backward() * self.y.shape[-2]
        return dz


class FlatParameter(Scale):
    """A parameter of shape (D,), which does not broadcast in a stack."""

    def __init__(self, D: int) -> None:
        self.shapes = {"g": (D,)}  # type: ignore[dict-item]

    def backward(self, dz: Array) -> Array:
        np.sum(self.x * dz, axis=-2, out=self.dg)
        return dz * self.g


class NoMaximumButSafe(SoftmaxCrossEntropy):
    """log of a probability that was rounded to 0."""

    def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
        self.y, self.t = np.exp(log_softmax(z)), t
        with np.errstate(all="ignore"):
            loss: Array = -np.where(t > 0, t * np.log(self.y), 0).sum(axis=(-2, -1)) / z.shape[-2]
        return loss


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("sign-flipped", on_dx(lambda layer, dz, dx: -dx)),
        ("factor-two", on_dW(lambda layer, dz: 2 * layer.dW)),
        ("factor-half", on_db(lambda layer, dz: layer.db / 2)),
        ("mean-twice", on_dW(lambda layer, dz: layer.dW / dz.shape[-2])),
        ("mean-twice", on_db(lambda layer, dz: dz.mean(axis=-2, keepdims=True))),
        ("mean-forgotten", on_dz(lambda output, dz: dz * dz.shape[-2])),
        ("mean-twice", on_dz(lambda output, dz: dz / dz.shape[-2])),
        ("times-width", on_dz(lambda output, dz: dz * dz.shape[-1])),
        ("wrong-divisor", on_dz(lambda output, dz: dz / dz.shape[-1])),
        ("mean-over-all-forgotten", on_dz(lambda output, dz: dz * dz.shape[-1] * dz.shape[-2])),
        ("mean-over-all-twice", on_dz(lambda output, dz: dz / dz.shape[-1] / dz.shape[-2])),
        ("nominal-batch-size", on_dz(lambda output, dz: dz * dz.shape[-2] / 100)),
        ("constant-factor", on_dx(lambda layer, dz, dx: 0.9 * dx)),
        ("no-gradient", on_dW(lambda layer, dz: 0)),
        ("bias-all-axes", on_db(lambda layer, dz: dz.sum(axis=(-2, -1), keepdims=True))),
        ("bias-wrong-axis", on_db(lambda layer, dz: dz.sum(axis=-1)[..., np.newaxis, :])),
        ("transposed", on_dW(lambda layer, dz: dz.mT @ layer.x)),
        ("transposed", on_dx(lambda layer, dz, dx: dz @ layer.W)),
        ("rows-shuffled", on_dx(lambda layer, dz, dx: np.roll(dx, 1, axis=-2))),
        ("rows-shuffled", on_dz(lambda output, dz: dz[..., ::-1, :])),
        ("diagonal-jacobian", on_dz(lambda output, dz: -output.t * (1 - output.y) / dz.shape[-2])),
        ("extra-derivative", on_dz(lambda output, dz: dz * output.y * (1 - output.y))),
        ("derivative-missing", activation(lambda da, a: da.copy())),
        ("derivative-doubled", activation(lambda da, a: da * (1 - a * a) ** 2)),
        ("gradients-accumulated", linear(accumulate)),
        ("view-replaced", linear(replacing_dW)),
        ("stale-values", KeepsTheFirstBatch),
        ("caller-array-changed", InPlaceForward),
        ("wrong-dtype", SinglePrecision),
        ("wrong-shape", on_dx(lambda layer, dz, dx: dx.sum(axis=-2))),
        ("wrong-shape", linear(lambda layer, dz, dx: None)),
        ("bias-all-axes", on_db(lambda layer, dz: dz.sum())),
        ("rounding", on_dx(lambda layer, dz, dx: dx * (1 + 1e-9))),
        ("rounding", on_dW(lambda layer, dz: layer.dW.astype(np.float32))),
        ("random", Dropout),
        ("not-a-mean", Summed),
        ("sign-flipped", activation(lambda da, a: -da * (1 - a * a))),
        ("no-stack", FlatParameter),
        ("not-finite", on_dx(lambda layer, dz, dx: dx / 0)),
        ("no-stack", OldTranspose),
        ("log-of-zero", NoMaximumButSafe),
    ],
)
def test_a_mistake_gets_its_name(name: str, cls: type[Any]) -> None:
    report = check_class(cls)
    assert names(report) == [name], str(report)
    assert MISTAKES[name].meaning in str(report)
    assert f"equation ({MISTAKES[name].equation})" in str(report)


# Mistakes that have no name


class ForgottenSquare(Tanh):
    def backward(self, da: Array) -> Array:
        dx: Array = da * (1 - self.a)
        return dx


class SwappedAxis(Linear):
    def backward(self, dz: Array) -> Array | None:
        dx = super().backward(dz)
        assert dx is not None
        return dx[..., ::-1]


class HalfUpdatedCache(Linear):
    """Remembers the new batch's first feature only."""

    def forward(self, x: Array) -> Array:
        old, z = getattr(self, "x", None), super().forward(x)
        if old is not None and old.shape == x.shape:
            self.x = np.concatenate([x[..., :1], old[..., 1:]], axis=-1)
        return z


class WrongBroadcast(Linear):
    def backward(self, dz: Array) -> Array | None:
        dx = super().backward(dz)
        self.dW[...] = self.dW.mean(axis=-2, keepdims=True)
        return dx


class ConstantAdded(SoftmaxCrossEntropy):
    def backward(self) -> Array:
        dz: Array = super().backward() + 0.001
        return dz


@pytest.mark.parametrize("cls", [ForgottenSquare, SwappedAxis, HalfUpdatedCache, WrongBroadcast, ConstantAdded])
def test_a_mistake_that_is_in_no_list_is_reported_wrong(cls: type[Any]) -> None:
    report = check_class(cls)
    assert not report.right
    assert names(report)[0] in ("unknown", "stale-values")
    if names(report) == ["unknown"]:
        assert "analytic" in report.findings[0].saw
        assert "numeric" in report.findings[0].saw
    assert any(row.wrong and row.error > COMPLEX_TOLERANCE for row in report.rows)


def test_what_cannot_be_tried_says_why() -> None:
    class Scale(Tanh):
        def __init__(self, H: int) -> None:
            self.factor = np.arange(1.0, H + 1)

        def forward(self, x: Array) -> Array:
            return self.factor * x

        def backward(self, da: Array) -> Array:
            return self.factor * da

    class TakesThree(Linear):
        def __init__(self, D: int, H: int, extra: object) -> None:
            super().__init__(D, H)

    class Raises(ReLU):
        def forward(self, x: Array) -> Array:
            raise KeyError("oops")

    class NoBackward:
        def forward(self, x: Array) -> Array:
            return x

    class NothingElse:
        def forward(self, x: Array) -> Array:
            return 2 * x

        def backward(self, da: Array) -> Array:
            return 2 * da

    class LossOfEachSample(SoftmaxCrossEntropy):
        def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
            super().forward(z, t)
            loss: Array = -(t * log_softmax(z)).sum(axis=-1)
            return loss

    assert check_class(Scale).right  # what has one size has that of its input, whatever it is called
    assert "TypeError: TakesThree takes D, H, extra" in check_class(TakesThree).findings[0].saw
    assert names(check_class(Raises)) == ["raises"]
    assert "KeyError: 'oops'" in check_class(Raises).findings[0].saw
    assert "it has no backward" in check_class(NoBackward).findings[0].saw
    assert names(check_class(LossOfEachSample)) == ["wrong-shape"]
    assert check_class(NothingElse).right  # a layer needs no other member


def test_a_networks_wrong_layer_is_found_and_named(batch: tuple[Array, Array]) -> None:
    wrong = on_db(lambda layer, dz: dz.sum(axis=(-2, -1), keepdims=True))
    network = Network([Linear(4, 5), Tanh(), wrong(5, 6), Tanh(), Linear(6, 3)], dtype="float64")
    report = check_network(network, *batch)
    assert names(report) == ["bias-all-axes"]
    assert [row.quantity for row in report.rows if row.wrong] == ["layer 2, Linear(5, 6): db", "the whole network"]


def test_a_report_for_a_quiz_has_the_numbers_and_not_the_name() -> None:
    report = check_class(on_dz(lambda output, dz: -dz))
    assert "sign-flipped" in str(report)
    quiz = report.anonymous()
    assert "sign" not in quiz
    assert "Mutant" not in quiz
    assert "analytic" in quiz
    assert "2.0e+00" in quiz


def test_hard_targets_only_is_no_excuse_for_a_wrong_gradient() -> None:
    class TakesTheLargest(SoftmaxCrossEntropy):
        def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
            return super().forward(z, np.eye(t.shape[-1])[t.argmax(axis=-1)])

        def backward(self) -> Array:
            dz: Array = super().backward() * 1.5
            return dz

    assert names(check_class(TakesTheLargest)) == ["constant-factor"]


def test_an_output_layer_that_misbehaves_is_told_how() -> None:
    class NaNs(SoftmaxCrossEntropy):
        def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
            loss: Array = super().forward(z, t) * np.nan
            return loss

    class Random(SoftmaxCrossEntropy):
        def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
            loss: Array = super().forward(z, t) + np.random.default_rng().normal()
            return loss

    class Sum(SoftmaxCrossEntropy):
        def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
            loss: Array = super().forward(z, t) * z.shape[-2]
            return loss

    class Nothing(SoftmaxCrossEntropy):
        def backward(self) -> Array:
            super().backward()
            return None  # type: ignore[return-value]

    class Growing(SoftmaxCrossEntropy):
        calls = 0

        def backward(self) -> Array:
            self.calls += 1
            return super().backward() * self.calls

    for cls, name in ((NaNs, "not-finite"), (Random, "random"), (Sum, "not-a-mean"), (Nothing, "wrong-shape"),
                      (Growing, "gradients-accumulated")):  # fmt: skip
        assert names(check_class(cls))[0] == name, cls


def test_a_layer_that_misbehaves_is_told_how() -> None:
    class SinglePrecision(Tanh):
        def forward(self, x: Array) -> Array:
            return super().forward(x).astype(np.float32)

    class NaNs(Tanh):
        def backward(self, da: Array) -> Array:
            return super().backward(da) * np.nan

    class Sawtooth(Tanh):
        def forward(self, x: Array) -> Array:
            return super().forward(np.real(x) * 1e7 % 1)

    class RealOnly(Tanh):
        def forward(self, x: Array) -> Array:
            if np.iscomplexobj(x):
                raise TypeError("real numbers only")
            return super().forward(x)

    assert names(check_class(SinglePrecision)) == ["wrong-dtype"]
    assert names(check_class(NaNs)) == ["not-finite"]
    assert "it has kinks everywhere, or computes in float32 inside" in check_class(Sawtooth).findings[0].saw
    slow = check_class(RealOnly)
    assert slow.right
    assert "complex numbers make it raise TypeError, so central differences were used" in str(slow)


def test_a_layer_that_is_wrong_in_this_network_only_is_found(batch: tuple[Array, Array]) -> None:
    class WrongAtSeven(Linear):
        def backward(self, dz: Array) -> Any:
            dx = super().backward(dz)
            if self.shapes["W"] == (7, 3):
                self.dW *= 2
            return dx

    report = check_network(Network([Linear(4, 7), Tanh(), WrongAtSeven(7, 3)], dtype="float64"), *batch)
    assert names(report) == ["unknown"]
    assert "each layer is right alone, but not together; layer 2, Linear(7, 3): dW" in report.findings[0].saw


class DoubledFirst(Linear):
    """Its dW is twice too large in the first layer of a network only, which it knows by its sizes."""

    def backward(self, dz: Array) -> Any:
        dx = super().backward(dz)
        self.dW *= 2 if self.shapes["W"] == (4, 5) else 1
        return dx


@pytest.mark.parametrize("first", [Linear, DoubledFirst])
def test_a_tiny_gradient_is_held_against_its_own_size(first: type[Linear], batch: tuple[Array, Array]) -> None:
    layers: list[Layer] = [first(4, 5), Sigmoid()]
    for _ in range(15):
        layers += [Linear(5, 5), Sigmoid()]
    report = check_network(Network([*layers, Linear(5, 3)], dtype="float64"), *batch)
    *rows, _ = report.rows
    if first is Linear:
        assert report.right, str(report)
        assert max(row.error for row in rows) <= 1e-12
    else:
        assert [row.quantity for row in rows if row.wrong] == ["layer 0, Linear(4, 5): dW"]
        assert rows[0].error == pytest.approx(1)
        assert np.abs(rows[0].numeric).max() < 1e-9 * np.abs(rows[-1].numeric).max()
    assert not report.notes


def test_a_gradient_that_is_0_but_for_rounding_is_no_false_alarm_and_is_said(batch: tuple[Array, Array]) -> None:
    network = Network([Linear(4, 5), BatchNorm(5), Tanh(), Linear(5, 3)], dtype="float64")
    report = check_network(network, *batch)
    assert report.right, str(report)
    assert np.abs(report.rows[1].numeric).max() < 1e-15  # batch normalisation takes any shift away
    assert max(row.error for row in report.rows) <= 1e-12
    assert report.notes == ["0 to rounding, and so not compared any closer: layer 0, Linear(4, 5): db"]
