"""What does each classic mistake look like? Mutants of the real code, one mistake each, to train beside the right one.

A mutant replaces one part of the right program, by a subclass or another data set; the real code knows nothing of it.
The mistakes were collected from issue threads of public projects, where people made them.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from minnet.data.dataset import Dataset, Part
from minnet.history import History
from minnet.lab.check import Report, check_class
from minnet.lab.mistakes import MISTAKES, Finding, Mistake
from minnet.layers import Array, Layer, Linear, ReLU
from minnet.network import Network
from minnet.optimizers import SGD
from minnet.output import SoftmaxCrossEntropy, log_softmax
from minnet.support import expect
from minnet.training import Training

HIDDEN, BATCH_SIZE, LR, MOMENTUM = 64, 32, 0.05, 0.9
UNIT = 100  # times as large are unscaled features

# The output layer: another gradient


def wrong_dz(dz: Callable[[Array, Array, int], Array]) -> type[SoftmaxCrossEntropy]:
    """Make an output layer whose dz is another function of y, t and N than (y − t)/N."""

    class WrongGradient(SoftmaxCrossEntropy):
        def backward(self) -> Array:
            return dz(self.y, self.t, self.y.shape[-2])

    return WrongGradient


# The output layer: another loss


class OtherLoss(SoftmaxCrossEntropy):
    """The squared error as the loss, and y − t as its gradient all the same."""

    def forward(self, z: Array, t: Array, sample_weight: Array | None = None) -> Array:
        """C = (1/N) Σ_n ½ Σ_k (y_nk − t_nk)²."""
        super().forward(z, t)
        loss: Array = ((self.y - t) ** 2).sum(axis=(-2, -1)) / 2 / z.shape[-2]
        return loss


class SoftmaxTwice(SoftmaxCrossEntropy):
    """The network ends with softmax, and the output layer applies it once more."""

    def forward(self, z: Array, t: Array, sample_weight: Array | None = None) -> Array:
        """C of softmax(softmax(z))."""
        self.inner = np.exp(log_softmax(z))
        return super().forward(self.inner, t)

    def backward(self) -> Array:
        """dz through both, by the Jacobian of eq. 7: every gradient is right, of the wrong loss."""
        dy = super().backward()
        dz: Array = self.inner * (dy - (dy * self.inner).sum(axis=-1, keepdims=True))
        return dz


class AsFirstWritten(SoftmaxCrossEntropy):
    """Softmax and cross-entropy as one writes them first; the mutants below change one of the three."""

    axis = -1
    shift_axes: tuple[int, ...] | None = (-1,)
    epsilon = 1e-300

    def probabilities(self, z: Array) -> Array:
        """y = e^z / Σ e^z, of z shifted by its maximum."""
        e = np.exp(z if self.shift_axes is None else z - z.max(axis=self.shift_axes, keepdims=True))
        y: Array = e / e.sum(axis=self.axis, keepdims=True)
        return y

    def forward(self, z: Array, t: Array, sample_weight: Array | None = None) -> Array:
        """C = −(1/N) Σ_n Σ_k t_nk log(y_nk + ε)."""
        self.y, self.t = self.probabilities(z), t
        epsilon = np.asarray(self.epsilon, dtype=z.real.dtype)
        loss: Array = -(t * np.log(self.y + epsilon)).sum(axis=(-2, -1)) / z.shape[-2]
        return loss


class LogEpsilon(AsFirstWritten):
    """log(y + 1e-7) in the loss."""

    epsilon = 1e-7


class EpsilonTooSmall(AsFirstWritten):
    """log(y + 1e-50): 1e-50 is 0 in float32."""

    epsilon = 1e-50


class SoftmaxAxis(AsFirstWritten):
    """Softmax over the samples of the batch instead of over the classes."""

    axis = -2


class NoMaximum(AsFirstWritten):
    """No maximum is subtracted before exp."""

    shift_axes = None


class BatchMaximum(AsFirstWritten):
    """The maximum of the whole batch is subtracted before exp."""

    shift_axes = (-2, -1)


# The layers


class BiasAllAxes(Linear):
    """db = Σ_n Σ_j dz_nj, one number for all units."""

    def backward(self, dz: Array) -> Array | None:
        """Sum over all axes."""
        dx = super().backward(dz)
        self.db[...] = dz.sum(axis=(-2, -1), keepdims=True)
        return dx


class UpdateBeforeDx(Linear):
    """W is updated within backward, and dx computed from the new one."""

    def backward(self, dz: Array) -> Array | None:
        """Step, then dx = dz Wᵀ."""
        super().backward(dz)
        self.W -= 0.5 * self.dW
        return dz @ self.W.mT if self.needs_dx else None


class GradientsAccumulated(Linear):
    """dW and db are added to what the step before left in them."""

    def backward(self, dz: Array) -> Array | None:
        """dW ← dW + xᵀ dz, db ← db + Σ_n dz_n."""
        dW, db = self.dW.copy(), self.db.copy()
        dx = super().backward(dz)
        self.dW += dW
        self.db += db
        return dx


class CallerArrayChanged(ReLU):
    """dx is computed in the array that da came in."""

    def backward(self, da: Array) -> Array:
        """da ← da where x > 0, else 0."""
        da *= self.x > 0
        return da


class DerivativeMissing(ReLU):
    """dx = da: the activation's derivative is left out."""

    def backward(self, da: Array) -> Array:
        """dx = da."""
        return da.copy()


# The data set


def changed(dataset: Dataset, change: Callable[[Part], Part], **others: Any) -> Dataset:
    """Change all splits of a data set in the same way."""
    others |= {name: change(getattr(dataset, name)) for name in ("train", "validation", "test")}
    return replace(dataset, **others)


def unscaled(dataset: Dataset) -> Dataset:
    """Take a data set as if its features had been recorded in a smaller unit, which makes logits huge."""
    return changed(dataset, lambda split: split._replace(x=split.x * UNIT))


def labels_from_one(dataset: Dataset) -> Dataset:
    """Take class numbers that start at 1 as they are: class 0 never occurs, and there is one more."""
    return changed(dataset, lambda split: split._replace(t=split.t + 1), class_names=("none", *dataset.class_names))


def integer_arrays(dataset: Dataset) -> Dataset:
    """Centre raw features in unsigned integers, where 0 − 1 is 255."""
    mean, scale = dataset.standardization.mean, dataset.standardization.scale

    def unsigned(array: Array) -> Array:
        return np.round(array).astype(np.int64).astype(np.uint8)

    def centred(split: Part) -> Part:
        centred = unsigned(split.x * scale + mean) - unsigned(mean)
        return split._replace(x=(centred / scale).astype(split.x.dtype))

    return changed(dataset, centred)


def scaler_before_split(dataset: Dataset) -> Dataset:
    """Standardise with the statistics of all splits, the test split included."""
    everything = np.concatenate([dataset.train.x, dataset.validation.x, dataset.test.x])
    mean, scale = everything.mean(axis=0), everything.std(axis=0)
    scale[scale == 0] = 1
    return changed(dataset, lambda split: split._replace(x=(split.x - mean) / scale))


# The training


class Unstopped(Training):
    """NaN does not stop it, as it did not stop those who made the mistake."""

    must_be_finite = False


class XShuffledAlone(Unstopped):
    """Each batch's samples are in another order than its targets."""

    def batch(self, rows: Array) -> tuple[Array, Array, Array | None]:
        """Turn the samples round, and leave the targets where they were."""
        x, t, sample_weight = super().batch(rows)
        return x[::-1], t, sample_weight


class TargetsNotSumming(Unstopped):
    """Every class gets a weight of 0.2 on top of one-hot rows, so that rows sum to 1 + 0.2 K."""

    def batch(self, rows: Array) -> tuple[Array, Array, Array | None]:
        """Add 0.2 to each target."""
        x, t, sample_weight = super().batch(rows)
        return x, t + t.dtype.type(0.2), sample_weight


class LabelsColumn(Unstopped):
    """Predictions (N,) are compared with labels of shape (N, 1), which broadcasts to (N, N)."""

    def evaluate(self, split: str) -> tuple[Any, Any]:
        """Compute the loss, and an accuracy of all with all."""
        loss, _ = super().evaluate(split)
        x, t, _ = getattr(self, split)
        right = self.network.predict(x) == t.argmax(axis=1)[:, np.newaxis]
        return loss, float(right.mean())


# What finds the mistakes that are not in a layer


def refusal(attempt: Callable[[], object]) -> str:
    """Return the error with which minnet refuses bad input."""
    try:
        attempt()
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    raise ValueError("expected the input check to refuse this, but it did not")


def refused_targets(change: Callable[[Array], Array]) -> Callable[[Dataset], str]:
    """Make the proof that changed class numbers are refused."""
    return lambda dataset: refusal(lambda: expect.targets(change(dataset.train.t), dataset.K))


def differs(right: Array, wrong: Array, otherwise: str) -> str:
    """Say how far two arrays that should be equal are apart."""
    distance = float(np.abs(right - wrong).max())
    if not distance > 1e-6:
        raise ValueError("expected the equivalence test to fail, but both are the same")
    return f"{otherwise}, but they differ by up to {distance:.2g}"


def overfits_one_batch(dataset: Dataset) -> str:
    """Equivalence: samples in another order are the same samples, so that one full batch gives the same gradient."""
    right, wrong = (Network([Linear(dataset.D, dataset.K)], dtype="float64") for _ in range(2))
    for network, kind in ((right, Training), (wrong, XShuffledAlone)):
        kind(network, SGD(LR), dataset, 1, len(dataset.train.x)).run()
    return differs(right.dtheta, wrong.dtheta, "a full batch in another order should give the same gradient")


def held_out_samples_matter(dataset: Dataset) -> str:
    """Equivalence: training samples should not depend on what the test split holds."""
    another = replace(dataset, test=dataset.test._replace(x=dataset.test.x * 10))
    right, wrong = (scaler_before_split(each).train.x for each in (dataset, another))
    return differs(right, wrong, "with another test split the training samples should stay as they are")


@dataclass(frozen=True, kw_only=True)
class Program:
    """The parts of a training program, each the right one unless said otherwise."""

    linear: type[Linear] = Linear
    activation: type[Layer] = ReLU
    output: type[SoftmaxCrossEntropy] = SoftmaxCrossEntropy
    dataset: Callable[[Dataset], Dataset] = lambda dataset: dataset
    training: type[Training] = Unstopped

    def run(self, dataset: Dataset, epochs: int, seed: int, lr: float = LR) -> History:
        """Train with the program, mistakes and all."""
        dataset = self.dataset(dataset)
        layers = [self.linear(dataset.D, HIDDEN), self.activation(), self.linear(HIDDEN, dataset.K)]
        network = Network(layers, self.output(), seed)
        training = self.training(network, SGD(lr, MOMENTUM), dataset, epochs, BATCH_SIZE)
        with np.errstate(all="ignore"):
            training.run()
        return training.history


@dataclass(frozen=True)
class Bug(Program):
    """A mistake, as the program that makes it.

    Attributes
    ----------
    name : str
        Its name in `minnet.lab.mistakes.MISTAKES`.
    sign : str
        What one sees of it in training.
    caught_by : {"gradient check", "loss bound", "input check", "equivalence test"}
        What finds it.
    proof : callable or None
        For the last two: does what finds it, and returns what that says.
    unscaled : bool, default False
        Whether it shows only in huge logits, so that right and wrong are trained on `unscaled` features.
    """

    name: str
    sign: str
    caught_by: Literal["gradient check", "loss bound", "input check", "equivalence test"] = "gradient check"
    proof: Callable[[Dataset], str] | None = None
    unscaled: bool = False

    @property
    def mistake(self) -> Mistake:
        """What is done wrong."""
        return MISTAKES[self.name]

    @property
    def suspect(self) -> type[Any] | None:
        """The class with the mistake, if it is a layer's or the output layer's."""
        layers = ((getattr(self, part), getattr(Program, part)) for part in ("linear", "activation", "output"))
        return next((found for found, right in layers if found is not right), None)

    def check(self, dataset: Dataset) -> Report:
        """Say what `minnet check` says of the mistake; for one outside the layers, what finds it instead."""
        if self.suspect is not None:
            return check_class(self.suspect)
        if self.proof is None:
            raise ValueError(f"bug {self.name} has neither a class to check nor a proof")
        subject = f"no layer is wrong, so that no gradient check can find it; an {self.caught_by} does:"
        return Report(subject, findings=[Finding(self.name, self.proof(dataset))])


def compare(bug: Bug, dataset: Dataset, epochs: int, seed: int) -> tuple[History, History]:
    """Train the right program and the one with the mistake, from the same seed; return both histories."""
    lr = LR
    if bug.unscaled:
        dataset = unscaled(dataset)
        lr = LR / 1000  # gradients are 100 times larger, and so is what a step does to the logits
    return Program().run(dataset, epochs, seed, lr), bug.run(dataset, epochs, seed, lr)


in_huge_logits = functools.partial(Bug, caught_by="loss bound", unscaled=True)

ALL_BUGS = (
    Bug(
        "mean-forgotten",
        "steps are N times too large; the best learning rate depends on the batch size",
        output=wrong_dz(lambda y, t, N: y - t),
    ),
    Bug("wrong-divisor", "it learns, but K times slower", output=wrong_dz(lambda y, t, N: (y - t) / N / y.shape[-1])),
    Bug("softmax-axis", "rows of y do not sum to 1", output=SoftmaxAxis),
    in_huge_logits(
        "batch-maximum", "rows far below it become 0/0 = NaN; unnoticed in small logits", output=BatchMaximum
    ),
    in_huge_logits(
        "no-maximum", "exp overflows, and training goes on with NaN; unnoticed in small logits", output=NoMaximum
    ),
    in_huge_logits(
        "log-epsilon", "a loss never exceeds 16.1; where it is most wrong, its slope is not y − t", output=LogEpsilon
    ),
    in_huge_logits("epsilon-too-small", "log 0 after all: the loss becomes NaN", output=EpsilonTooSmall),
    Bug("softmax-twice", "the loss stops at 1.461 for 10 classes (0.551 for 3)", "loss bound", output=SoftmaxTwice),
    Bug("diagonal-jacobian", "rows of dz do not sum to 0", output=wrong_dz(lambda y, t, N: -t * (1 - y) / N)),
    Bug(
        "extra-derivative",
        "learning stalls where y is sure, right or wrong",
        output=wrong_dz(lambda y, t, N: (y - t) * y * (1 - y) / N),
    ),
    Bug("sign-flipped", "the loss climbs", output=wrong_dz(lambda y, t, N: (t - y) / N)),
    Bug("factor-two", "as with twice the learning rate", output=wrong_dz(lambda y, t, N: 2 * (y - t) / N)),
    Bug("other-loss", "it learns, and reports something else", output=OtherLoss),
    Bug(
        "targets-not-summing",
        "y − t is not the gradient: all logits drift",
        "input check",
        refused_targets(lambda t: np.eye(t.max() + 1)[t] + 0.2),
        training=TargetsNotSumming,
    ),
    Bug(
        "labels-from-one",
        "a class too many, which never occurs (or an index error)",
        "input check",
        refused_targets(lambda t: t + 1),
        dataset=labels_from_one,
    ),
    Bug(
        "labels-column",
        "broadcasting: the accuracy stays near 1/K, however good the network",
        "input check",
        refused_targets(lambda t: t[:, np.newaxis]),
        training=LabelsColumn,
    ),
    Bug("bias-all-axes", "it broadcasts in silence; almost 0 in the last layer", linear=BiasAllAxes),
    Bug(
        "x-shuffled-alone",
        "the loss stays at ln K",
        "equivalence test",
        overfits_one_batch,
        training=XShuffledAlone,
    ),
    Bug("update-before-dx", "small, wrong gradients in the layers below", linear=UpdateBeforeDx),
    Bug("gradients-accumulated", "the gradient of everything so far: it overshoots", linear=GradientsAccumulated),
    Bug("caller-array-changed", "nothing, until somebody else needs that array", activation=CallerArrayChanged),
    Bug(
        "integer-arrays",
        "0 − 1 is 255: features are torn apart",
        "input check",
        lambda dataset: refusal(lambda: expect.features("train", dataset.train.x.astype(np.uint8), dataset.D)),
        dataset=integer_arrays,
    ),
    Bug(
        "nominal-batch-size",
        "the last batch of an epoch counts less than the others",
        output=wrong_dz(lambda y, t, N: (y - t) / BATCH_SIZE),
    ),
    Bug(
        "scaler-before-split",
        "nothing: the test split has leaked into training, and results look a little too good",
        "equivalence test",
        held_out_samples_matter,
        dataset=scaler_before_split,
    ),
    Bug("derivative-missing", "it learns, but not what it reports", activation=DerivativeMissing),
)
BUGS = {bug.name: bug for bug in ALL_BUGS}
