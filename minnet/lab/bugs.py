"""What does each classic mistake look like? Mutants of the real code, one mistake each, to train beside the right one.

A mutant takes the place of one part of the right program, a class or the data set; the real code knows nothing of it.
The mistakes were collected from issue threads of public projects, where people made them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minnet.data.dataset import Dataset
from minnet.data.preprocessing import Standardization
from minnet.data.splits import SPLITS
from minnet.history import History
from minnet.lab.check import Report, check_class
from minnet.lab.mistakes import MISTAKES, Comparison, Finding
from minnet.layers import Array, Linear, ReLU
from minnet.network import Network
from minnet.optimizers import SGD
from minnet.output import SoftmaxCrossEntropy, log_softmax
from minnet.support import expect
from minnet.training import Training

HIDDEN, BATCH_SIZE, LR, MOMENTUM = 64, 32, 0.05, 0.9
UNIT = 100  # times as large are features that were recorded in a smaller unit, which makes logits huge

# The output layer


class OtherLoss(SoftmaxCrossEntropy):
    """The squared error as the loss, and y − t as its gradient all the same."""

    def forward(self, z: Array, t: Array, sample_weight: Array | None = None) -> Any:
        """C = (1/N) Σ_n ½ Σ_k (y_nk − t_nk)²."""
        super().forward(z, t)
        return ((self.y - t) ** 2).sum(axis=(-2, -1)) / 2 / z.shape[-2]


class SoftmaxTwice(SoftmaxCrossEntropy):
    """The network ends with softmax, and the output layer applies it once more."""

    def forward(self, z: Array, t: Array, sample_weight: Array | None = None) -> Array:
        """C of softmax(softmax(z))."""
        self.inner = np.exp(log_softmax(z))
        return super().forward(self.inner, t)

    def backward(self) -> Any:
        """dz through both, by the Jacobian of eq. 7: every gradient is right, of the wrong loss."""
        dy = super().backward()
        return self.inner * (dy - (dy * self.inner).sum(axis=-1, keepdims=True))


class AsFirstWritten(SoftmaxCrossEntropy):
    """Softmax and cross-entropy as one writes them first; mutants change one of the three numbers."""

    axis = -1
    shift_axes = (-1,)  # None: not shifted
    epsilon = 1e-300

    def probabilities(self, z: Array) -> Any:
        """y = e^z / Σ e^z, of z shifted by its maximum."""
        e = np.exp(z if self.shift_axes is None else z - z.max(axis=self.shift_axes, keepdims=True))
        return e / e.sum(axis=self.axis, keepdims=True)

    def forward(self, z: Array, t: Array, sample_weight: Array | None = None) -> Any:
        """C = −(1/N) Σ_n Σ_k t_nk log(y_nk + ε)."""
        self.y, self.t = self.probabilities(z), t
        return -(t * np.log(self.y + self.epsilon)).sum(axis=(-2, -1)) / z.shape[-2]


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

    def backward(self, dz: Array) -> Array:
        """Step, then dx = dz Wᵀ."""
        super().backward(dz)
        self.W -= 0.5 * self.dW
        return dz @ self.W.mT


class GradientsAccumulated(Linear):
    """dW and db are added to what the step before left in them."""

    def backward(self, dz: Array) -> Array | None:
        """dW ← dW + xᵀ dz, db ← db + Σ_n dz_n."""
        dW, db = self.dW.copy(), self.db.copy()
        dx = super().backward(dz)
        self.dW += dW
        self.db += db
        return dx


# The data set


def changed(dataset: Dataset, part: str, change: Callable[[Array], Array]) -> Dataset:
    """Change the samples "x" or the targets "t" of all splits in the same way."""
    splits = ((name, getattr(dataset, name)) for name in SPLITS)
    return replace(dataset, **{name: split._replace(**{part: change(getattr(split, part))}) for name, split in splits})


def labels_from_one(dataset: Dataset) -> Dataset:
    """Take class numbers that start at 1 as they are: class 0 never occurs, and there is one more."""
    return changed(replace(dataset, class_names=("none", *dataset.class_names)), "t", lambda t: t + 1)


def integer_arrays(dataset: Dataset) -> Dataset:
    """Centre raw features in unsigned integers, where 0 − 1 is 255."""
    mean, scale = dataset.standardization.mean, dataset.standardization.scale

    def centred(x: Array) -> Array:
        raw, centre = (np.round(array).astype(np.int64).astype(np.uint8) for array in (x * scale + mean, mean))
        return ((raw - centre) / scale).astype(x.dtype)

    return changed(dataset, "x", centred)


def scaler_before_split(dataset: Dataset) -> Dataset:
    """Standardise with the statistics of all splits, the test split included."""
    everything = np.concatenate([getattr(dataset, split).x for split in SPLITS])
    return changed(dataset, "x", Standardization.of(everything))


# The training


class Unstopped(Training):
    """NaN does not stop it, as it did not stop those who made the mistake."""

    must_be_finite = False


class XShuffledAlone(Unstopped):
    """Each batch's samples are in another order than its targets."""

    def batch(self, rows: Array) -> Any:
        """Turn the samples round, and leave the targets where they were."""
        x, t, sample_weight = super().batch(rows)
        return x[::-1], t, sample_weight


class TargetsNotSumming(Unstopped):
    """Every class gets a weight of 0.2 on top of one-hot rows, so that rows sum to 1 + 0.2 K."""

    def batch(self, rows: Array) -> Any:
        """Add 0.2 to each target."""
        x, t, sample_weight = super().batch(rows)
        return x, t + 0.2, sample_weight


class LabelsColumn(Unstopped):
    """Predictions (N,) are compared with labels of shape (N, 1), which broadcasts to (N, N)."""

    def evaluate(self, split: str) -> Any:
        """Compute the loss, and an accuracy of all with all."""
        loss, _, *more = super().evaluate(split)
        x, t, _ = getattr(self, split)
        right = self.network.predict(x) == t.argmax(axis=1)[:, np.newaxis]
        return loss, right.mean(), *more


# Tests that fail on mistakes outside the layers


def expect_equal(expectation: str, right: Array, wrong: Array) -> None:
    """Raise AssertionError if two arrays differ that should not."""
    distance = np.abs(right - wrong).max()
    if distance > 1e-6:
        raise AssertionError(f"{expectation}, but they differ by up to {distance:.2g}")


def order_does_not_matter(dataset: Dataset) -> None:
    """Test that a full batch in another order, being the same samples, gives the same gradient."""
    gradients = []
    for training in (Training, XShuffledAlone):
        network = Network([Linear(dataset.D, dataset.K)], dtype="float64")
        training(network, SGD(LR), dataset, 1, len(dataset.train.x)).run()
        gradients.append(network.dtheta)
    expect_equal("a full batch in another order should give the same gradient", *gradients)


def held_out_samples_do_not_matter(dataset: Dataset) -> None:
    """Test that training samples do not depend on what the test split holds."""
    another = replace(dataset, test=dataset.test._replace(x=dataset.test.x * 10))
    samples = (scaler_before_split(each).train.x for each in (dataset, another))
    expect_equal("with another test split the training samples should stay as they are", *samples)


# All of them


@dataclass(frozen=True)
class Bug:
    """A mistake, and the part of a program that makes it.

    Attributes
    ----------
    name : str
        Its name in `minnet.lab.mistakes.MISTAKES`.
    sign : str
        What one sees of it in training.
    part : class or callable
        Takes the place of the right one: a layer, output layer or `Training`, or a function that makes a data set.
    caught_by : {"gradient check", "loss bound", "input check", "equivalence test"}
        What finds it.
    test : callable or None
        For the last two: the test, which fails.
    unscaled : bool, default False
        Whether it shows only in huge logits, so that right and wrong are trained on features `UNIT` times as large.
    """

    name: str
    sign: str
    part: Any
    caught_by: str = "gradient check"
    test: Callable[[Dataset], object] | None = None
    unscaled: bool = False

    def scaled(self, dataset: Dataset, lr: float) -> tuple[Dataset, float]:
        """Give the data set and the learning rate at which the mistake shows."""
        if not self.unscaled:
            return dataset, lr
        # Gradients are 100 times larger, and so is what a step does to the logits.
        return changed(dataset, "x", lambda x: x * UNIT), lr / 1000

    def check(self, dataset: Dataset) -> Report:
        """Say what `minnet check` says of the mistake; for one outside the layers, what finds it instead."""
        if self.test is None:
            return check_class(self.part)
        report = Report(f"no layer is wrong, so that no gradient check can find it; an {self.caught_by} does:")
        try:
            self.test(dataset)
        except (AssertionError, TypeError, ValueError) as error:
            report.findings.append(Finding(self.name, f"{type(error).__name__}: {error}"))
        return report


def compare(bug: Bug, dataset: Dataset, epochs: int, seed: int) -> list[History]:
    """Train the right program and the one with the mistake, from the same seed; return both histories."""
    histories = []
    right_ones: Any = (Linear, ReLU, SoftmaxCrossEntropy, Unstopped)
    dataset, lr = bug.scaled(dataset, LR)
    for part in (Unstopped, bug.part):
        if not isinstance(part, type):
            dataset, part = part(dataset), Unstopped
        linear, activation, output, training = (part if issubclass(part, right) else right for right in right_ones)
        layers = [linear(dataset.D, HIDDEN), activation(), linear(HIDDEN, dataset.K)]
        network, optimizer = Network(layers, output(), seed), SGD(lr, MOMENTUM)
        trained = training(network, optimizer, dataset, epochs, BATCH_SIZE, prove=False)
        with np.errstate(all="ignore"):
            trained.run()
        histories.append(trained.history)
    return histories


def variant(name: str, sign: str, right: type[Any], caught_by: str = "gradient check", **members: Any) -> Bug:
    """Make the mistake of a class with other members, called like the mistake."""
    return Bug(name, sign, type(name.title().replace("-", ""), (right,), members), caught_by)


def by_formula(name: str, sign: str) -> Bug:
    """Make the mistake of an output layer whose backward gives what the mistake's formula makes of the right dz."""
    formula: Any = MISTAKES[name].formula

    def backward(self: SoftmaxCrossEntropy) -> Any:
        dz = SoftmaxCrossEntropy.backward(self)
        return formula(Comparison("dz", dz, dz, vars(self), dz.shape[-2]))

    return variant(name, sign, SoftmaxCrossEntropy, backward=backward)


def in_huge_logits(name: str, sign: str, **members: Any) -> Bug:
    """Make the mistake of an output layer that goes wrong in huge logits only."""
    return replace(variant(name, sign, AsFirstWritten, "loss bound", **members), unscaled=True)


def refused(name: str, sign: str, part: Any, targets: Callable[[Array], Array]) -> Bug:
    """Make a mistake with targets of which the test is whether they are good ones."""
    return Bug(name, sign, part, "input check", lambda dataset: expect.targets(targets(dataset.train.t), dataset.K))


ALL_BUGS = (
    by_formula("mean-forgotten", "steps are N times too large; the best learning rate depends on the batch size"),
    by_formula("wrong-divisor", "it learns, but K times slower"),
    variant("softmax-axis", "rows of y do not sum to 1", AsFirstWritten, axis=-2),
    in_huge_logits("batch-maximum", "rows far below it become NaN; unnoticed in small logits", shift_axes=(-2, -1)),
    in_huge_logits("no-maximum", "exp overflows, and training goes on with NaN", shift_axes=None),
    in_huge_logits("log-epsilon", "a loss never exceeds 16.1, and its slope there is not y − t", epsilon=1e-7),
    in_huge_logits("epsilon-too-small", "log 0 after all: the loss becomes NaN", epsilon=1e-50),
    Bug("softmax-twice", "the loss stops at 1.461 for 10 classes (0.551 for 3)", SoftmaxTwice, "loss bound"),
    by_formula("diagonal-jacobian", "rows of dz do not sum to 0"),
    by_formula("extra-derivative", "learning stalls where y is sure, right or wrong"),
    by_formula("sign-flipped", "the loss climbs"),
    by_formula("factor-two", "as with twice the learning rate"),
    Bug("other-loss", "it learns, and reports something else", OtherLoss),
    refused("targets-not-summing", "all logits drift", TargetsNotSumming, lambda t: np.eye(t.max() + 1)[t] + 0.2),
    refused("labels-from-one", "a class too many, which never occurs", labels_from_one, lambda t: t + 1),
    refused("labels-column", "broadcasting: the accuracy stays near 1/K", LabelsColumn, lambda t: t[:, np.newaxis]),
    Bug("bias-all-axes", "it broadcasts in silence; almost 0 in the last layer", BiasAllAxes),
    Bug("x-shuffled-alone", "the loss stays at ln K", XShuffledAlone, "equivalence test", order_does_not_matter),
    Bug("update-before-dx", "small, wrong gradients in the layers below", UpdateBeforeDx),
    Bug("gradients-accumulated", "the gradient of everything so far: it overshoots", GradientsAccumulated),
    variant(
        "caller-array-changed",
        "nothing, until somebody else needs that array",
        ReLU,
        backward=lambda self, da: np.multiply(da, self.z > 0, out=da),
    ),
    Bug(
        "integer-arrays",
        "0 − 1 is 255: features are torn apart",
        integer_arrays,
        "input check",
        lambda dataset: expect.features("train", dataset.train.x.astype(np.uint8), dataset.D),
    ),
    variant(
        "nominal-batch-size",
        "the last batch of an epoch counts less than the others",
        SoftmaxCrossEntropy,
        backward=lambda self: (self.y - self.t) / BATCH_SIZE,
    ),
    Bug(
        "scaler-before-split",
        "nothing: the test split has leaked into training, and results look a little too good",
        scaler_before_split,
        "equivalence test",
        held_out_samples_do_not_matter,
    ),
    variant("derivative-missing", "it learns, but not what it reports", ReLU, backward=lambda self, da: da),
)
BUGS = {bug.name: bug for bug in ALL_BUGS}
