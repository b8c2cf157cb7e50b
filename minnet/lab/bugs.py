"""What does each classic mistake look like? Mutants of the real code, one mistake each, to train beside the right one.

A mutant replaces one part of the right program, by a subclass or a function; the real layers know nothing of it. The
mistakes were collected from issue threads of public projects, where people made them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minnet.data import Dataset, Part
from minnet.lab.check import Report, check_class
from minnet.lab.mistakes import Finding
from minnet.layers import Layer, Linear, ReLU, remembered
from minnet.network import Network, check_features, random_streams
from minnet.optimizers import SGD
from minnet.output import SoftmaxCrossEntropy, log_softmax, target_rows
from minnet.training import History, evaluate, train_epoch

Array = npt.NDArray[Any]
Epoch = Callable[[Network, SGD, Array, Array, int, Sequence[np.random.Generator]], tuple[list[Any], Any]]

HIDDEN, BATCH_SIZE, LR, MOMENTUM = 64, 32, 0.05, 0.9


class Samples(NamedTuple):
    """What training is given: the number of classes, and samples and target rows for training and validation."""

    K: int
    train: Part
    validation: Part


def right_samples(dataset: Dataset) -> Samples:
    """Take a data set as it is."""
    return Samples(
        dataset.K,
        *(Part(part.x, target_rows(part.t, dataset.K, part.x.dtype)) for part in (dataset.train, dataset.validation)),
    )


def unscaled_samples(dataset: Dataset) -> Samples:
    """Take a data set as if its features had been recorded in a unit 100 times smaller, which makes logits huge."""
    K, training, validation = right_samples(dataset)
    return Samples(K, Part(training.x * 100, training.t), Part(validation.x * 100, validation.t))


@dataclass(frozen=True)
class Program:
    """The parts of a training program, each the right one unless said otherwise."""

    linear: type[Linear] = Linear
    activation: Callable[[], Layer] = ReLU
    output: type[SoftmaxCrossEntropy] = SoftmaxCrossEntropy
    samples: Callable[[Dataset], Samples] = right_samples
    epoch: Epoch = train_epoch
    evaluate: Callable[[Network, Array, Array], tuple[float, float]] = evaluate


@dataclass(frozen=True)
class Bug:
    """One mistake.

    Attributes
    ----------
    name : str
        Where a check can name the mistake, it is the name in `minnet.lab.mistakes.MISTAKES`.
    mistake : str
        What is done wrong, in one line.
    sign : str
        What one sees of it.
    program : Program
        The program with the mistake.
    caught_by : {"gradient check", "loss bound", "input check", "equivalence test"}
        What finds it.
    proof : callable or None
        For the last two: does what finds it, and returns what that says.
    unscaled : bool, default False
        Whether it shows only in huge logits, so that right and wrong are trained on `unscaled_samples`.
    """

    name: str
    mistake: str
    sign: str
    program: Program
    caught_by: str = "gradient check"
    proof: Callable[[Dataset], str] | None = field(default=None, repr=False)
    unscaled: bool = False

    @property
    def suspect(self) -> type[Any] | None:
        """The class with the mistake, if it is a layer's or the output layer's."""
        right = Program()
        for part in ("linear", "activation", "output"):
            if getattr(self.program, part) is not getattr(right, part):
                found: type[Any] = getattr(self.program, part)
                return found
        return None

    def check(self, dataset: Dataset) -> Report:
        """Say what `minnet check` says of the mistake; for one outside the layers, what finds it instead."""
        if self.suspect is not None:
            return check_class(self.suspect)
        if self.proof is None:
            raise ValueError(f"bug {self.name} has neither a class to check nor a proof")
        return Report(
            f"no layer is wrong, so that no gradient check can find it; an {self.caught_by} does:",
            findings=[Finding(self.name, self.proof(dataset))],
        )


def compare(bug: Bug, dataset: Dataset, epochs: int, seed: int) -> tuple[History, History]:
    """Train the right program and the one with the mistake, from the same seed; return both histories."""
    right, wrong, lr = Program(), bug.program, LR
    if bug.unscaled:
        right, wrong = replace(right, samples=unscaled_samples), replace(wrong, samples=unscaled_samples)
        lr = LR / 1000  # gradients are 100 times larger, and so is what a step does to the logits
    return run(right, dataset, epochs, seed, lr), run(wrong, dataset, epochs, seed, lr)


def run(program: Program, dataset: Dataset, epochs: int, seed: int, lr: float) -> History:
    """Train with a program, mistakes and all; NaN does not stop it, as it did not stop those who made the mistake."""
    K, training, validation = program.samples(dataset)
    layers = [program.linear(dataset.D, HIDDEN), program.activation(), program.linear(HIDDEN, K)]
    network, optimizer = Network(layers, program.output(), seed=seed), SGD(lr, MOMENTUM)
    orders, history = [random_streams(seed).order], History()
    with np.errstate(all="ignore"):
        for epoch in range(1, epochs + 1):
            started = time.perf_counter()
            losses, norm = program.epoch(network, optimizer, *training, BATCH_SIZE, orders)
            train_loss, train_accuracy = program.evaluate(network, *training)
            validation_loss, validation_accuracy = program.evaluate(network, *validation)
            history.epoch.append(epoch)
            history.train_loss.append(train_loss)
            history.train_accuracy.append(train_accuracy)
            history.validation_loss.append(validation_loss)
            history.validation_accuracy.append(validation_accuracy)
            history.penalty.append(0.0)
            history.gradient_norm.append(norm)
            history.lr.append(lr)
            history.batch_loss += losses
            history.seconds.append(time.perf_counter() - started)
    return history


# The output layer


class MeanForgotten(SoftmaxCrossEntropy):
    """dz = y − t, without the mean's 1/N."""

    def backward(self) -> Array:
        """dz = y − t."""
        dz: Array = remembered(self, self.y) - remembered(self, self.t)
        return dz


class WrongDivisor(SoftmaxCrossEntropy):
    """dz = (y − t)/(N·K), the mean over all entries."""

    def backward(self) -> Array:
        """dz = (y − t)/(N·K)."""
        dz: Array = super().backward() / remembered(self, self.y).shape[-1]
        return dz


class NominalBatchSize(SoftmaxCrossEntropy):
    """dz = (y − t)/32, whatever the size of the batch."""

    def backward(self) -> Array:
        """dz = (y − t)/32."""
        dz: Array = (remembered(self, self.y) - remembered(self, self.t)) / BATCH_SIZE
        return dz


class SignFlipped(SoftmaxCrossEntropy):
    """dz = (t − y)/N."""

    def backward(self) -> Array:
        """dz = (t − y)/N."""
        return -super().backward()


class FactorTwo(SoftmaxCrossEntropy):
    """dz = 2 (y − t)/N."""

    def backward(self) -> Array:
        """dz = 2 (y − t)/N."""
        return 2 * super().backward()


class DiagonalJacobian(SoftmaxCrossEntropy):
    """dz = −(t/y) y (1 − y)/N: the chain rule with the diagonal of the softmax Jacobian alone."""

    def backward(self) -> Array:
        """dz = −t (1 − y)/N."""
        y, t = remembered(self, self.y), remembered(self, self.t)
        dz: Array = -t * (1 - y) / y.shape[-2]
        return dz


class ExtraDerivative(SoftmaxCrossEntropy):
    """dz = (y − t) y (1 − y)/N."""

    def backward(self) -> Array:
        """dz = (y − t) y (1 − y)/N."""
        y = remembered(self, self.y)
        dz: Array = super().backward() * y * (1 - y)
        return dz


class OtherLoss(SoftmaxCrossEntropy):
    """The squared error as the loss, and y − t as its gradient all the same."""

    def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
        """C = (1/N) Σ_n ½ Σ_k (y_nk − t_nk)²."""
        super().forward(z, t)
        loss: Array = ((remembered(self, self.y) - t) ** 2).sum(axis=(-2, -1)) / 2 / z.shape[-2]
        return loss


class Shifted(SoftmaxCrossEntropy):
    """Softmax and cross-entropy as one writes them first; what is subtracted before exp is up to the mutants below."""

    axes: tuple[int, ...] | int = -1
    epsilon = 0.0

    def shift(self, z: Array) -> Array:
        """Subtract the row's maximum."""
        shifted: Array = z - z.max(axis=-1, keepdims=True)
        return shifted

    def probabilities(self, z: Array) -> Array:
        """y = e^z / Σ e^z."""
        e = np.exp(self.shift(z))
        y: Array = e / e.sum(axis=self.axes, keepdims=True)
        return y

    def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
        """C = −(1/N) Σ_n Σ_k t_nk log(y_nk + ε)."""
        self.y, self.t = self.probabilities(z), t
        epsilon = np.asarray(self.epsilon, dtype=z.real.dtype)
        loss: Array = -(t * np.log(self.y + epsilon)).sum(axis=(-2, -1)) / z.shape[-2]
        return loss


class LogEpsilon(Shifted):
    """log(y + 1e-7) in the loss."""

    epsilon = 1e-7


class EpsilonTooSmall(Shifted):
    """log(y + 1e-50): 1e-50 is 0 in float32."""

    epsilon = 1e-50


class SoftmaxAxis(Shifted):
    """Softmax over the samples of the batch instead of over the classes."""

    axes = -2


class NoMaximum(Shifted):
    """No maximum is subtracted before exp."""

    epsilon = 1e-300

    def shift(self, z: Array) -> Array:
        """Subtract nothing."""
        return z


class BatchMaximum(Shifted):
    """The maximum of the whole batch is subtracted before exp."""

    epsilon = 1e-300

    def shift(self, z: Array) -> Array:
        """Subtract the batch's maximum."""
        shifted: Array = z - z.max(axis=(-2, -1), keepdims=True)
        return shifted


class SoftmaxTwice(SoftmaxCrossEntropy):
    """The network ends with softmax, and the output layer applies it once more."""

    def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
        """C of softmax(softmax(z))."""
        self.inner = np.exp(log_softmax(z))
        return super().forward(self.inner, t)

    def backward(self) -> Array:
        """dz through both, by the Jacobian of eq. 7: every gradient is right, of the wrong loss."""
        dy = super().backward()
        dz: Array = self.inner * (dy - (dy * self.inner).sum(axis=-1, keepdims=True))
        return dz


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
        da *= remembered(self, self.x) > 0
        return da


class DerivativeMissing(ReLU):
    """dx = da: the activation's derivative is left out."""

    def backward(self, da: Array) -> Array:
        """dx = da."""
        return da.copy()


# The samples, the epoch, the evaluation


def labels_from_one(dataset: Dataset) -> Samples:
    """Take class numbers that start at 1 as they are: class 0 never occurs, and there is one more."""
    K = dataset.K + 1
    parts = (Part(part.x, target_rows(part.t + 1, K, part.x.dtype)) for part in (dataset.train, dataset.validation))
    return Samples(K, *parts)


def targets_not_summing(dataset: Dataset) -> Samples:
    """Give every class a weight of 0.2 on top of one-hot rows, so that rows sum to 1 + 0.2 K."""
    K, training, validation = right_samples(dataset)
    return Samples(K, Part(training.x, training.t + training.t.dtype.type(0.2)), validation)


def integer_arrays(dataset: Dataset) -> Samples:
    """Centre raw features in unsigned integers, where 0 − 1 is 255."""
    mean, scale = dataset.standardization.mean, dataset.standardization.scale

    def centred(part: Part) -> Part:
        raw = np.round(part.x * scale + mean).astype(np.int64).astype(np.uint8)
        x = ((raw - np.round(mean).astype(np.int64).astype(np.uint8)) / scale).astype(part.x.dtype)
        return Part(x, target_rows(part.t, dataset.K, part.x.dtype))

    return Samples(dataset.K, centred(dataset.train), centred(dataset.validation))


def scaler_before_split(dataset: Dataset) -> Samples:
    """Standardise with the statistics of all parts, test part included."""
    everything = np.concatenate([dataset.train.x, dataset.validation.x, dataset.test.x])
    mean, scale = everything.mean(axis=0), everything.std(axis=0)
    scale[scale == 0] = 1
    K, training, validation = right_samples(dataset)
    return Samples(K, Part((training.x - mean) / scale, training.t), Part((validation.x - mean) / scale, validation.t))


def x_shuffled_alone(
    network: Network, optimizer: SGD, x: Array, t: Array, batch_size: int, orders: Sequence[np.random.Generator]
) -> tuple[list[Any], Any]:
    """Shuffle the samples, and leave the targets where they were."""
    return train_epoch(network, optimizer, x[orders[0].permutation(len(x))], t, batch_size, orders)


def evaluate_unchecked(network: Network, x: Array, t: Array) -> tuple[float, float]:
    """Evaluate on whatever targets there are."""
    loss = float(network.forward(x, t, check=False))
    return loss, float((network.predict(x) == t.argmax(axis=1)).mean())


def labels_column(network: Network, x: Array, t: Array) -> tuple[float, float]:
    """Compare predictions (N,) with labels of shape (N, 1), which broadcasts to (N, N)."""
    loss, _ = evaluate(network, x, t)
    return loss, float((network.predict(x) == t.argmax(axis=1)[:, np.newaxis]).mean())


# What finds the mistakes that are not in a layer


def refusal(attempt: Callable[[], object]) -> str:
    """Return the error with which minnet refuses bad input."""
    try:
        attempt()
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    raise ValueError("expected the input check to refuse this, but it did not")


def differs(right: Array, wrong: Array, otherwise: str) -> str:
    """Say how far two arrays that should be equal are apart."""
    distance = float(np.abs(right - wrong).max())
    if not distance > 1e-6:
        raise ValueError("expected the equivalence test to fail, but both are the same")
    return f"{otherwise}, but they differ by up to {distance:.2g}"


def overfits_one_batch(dataset: Dataset) -> str:
    """Equivalence: samples in another order are the same samples, so that one full batch gives the same gradient."""
    gradients = []
    for epoch in (train_epoch, x_shuffled_alone):
        network = Network([Linear(dataset.D, dataset.K)], dtype="float64")
        x, t = dataset.train.x.astype(float), target_rows(dataset.train.t, dataset.K)
        epoch(network, SGD(LR), x, t, len(x), [np.random.default_rng(0)])
        gradients.append(network.dtheta)
    return differs(gradients[0], gradients[1], "a full batch in another order should give the same gradient")


def held_out_samples_matter(dataset: Dataset) -> str:
    """Equivalence: training samples should not depend on what the test part holds."""
    test = Part(dataset.test.x * 10, dataset.test.t)
    changed = Dataset(
        dataset.name, dataset.train, dataset.validation, test, dataset.class_names, dataset.feature_names,
        dataset.standardization,
    )  # fmt: skip
    right, wrong = (scaler_before_split(each).train.x for each in (dataset, changed))
    return differs(right, wrong, "with another test part the training samples should stay as they are")


BUGS = {
    bug.name: bug
    for bug in (
        Bug(
            "mean-forgotten",
            "dz = y − t: the mean's 1/N is missing",
            "steps are N times too large; the best learning rate depends on the batch size",
            Program(output=MeanForgotten),
        ),
        Bug(
            "wrong-divisor",
            "dz is divided by N·K, the number of entries",
            "it learns, but K times slower",
            Program(output=WrongDivisor),
        ),
        Bug(
            "softmax-axis",
            "softmax runs over the batch, not over the classes",
            "rows of y do not sum to 1",
            Program(output=SoftmaxAxis),
        ),
        Bug(
            "batch-maximum",
            "the maximum of the whole batch is subtracted before exp",
            "rows far below it become 0/0 = NaN; unnoticed while logits are small",
            Program(output=BatchMaximum),
            "loss bound",
            unscaled=True,
        ),
        Bug(
            "no-maximum",
            "no maximum is subtracted before exp",
            "exp overflows, and training goes on with NaN; unnoticed while logits are small",
            Program(output=NoMaximum),
            "loss bound",
            unscaled=True,
        ),
        Bug(
            "log-epsilon",
            "log(0) is avoided by log(y + 1e-7)",
            "a loss never exceeds 16.1, and its slope is not y − t where it is most wrong",
            Program(output=LogEpsilon),
            "loss bound",
            unscaled=True,
        ),
        Bug(
            "epsilon-too-small",
            "log(y + 1e-50), which is log(y) in float32",
            "log 0 after all: the loss becomes NaN",
            Program(output=EpsilonTooSmall),
            "loss bound",
            unscaled=True,
        ),
        Bug(
            "softmax-twice",
            "the output layer is given probabilities and applies softmax again",
            "the loss stops at 1.461 for 10 classes (0.551 for 3)",
            Program(output=SoftmaxTwice),
            "loss bound",
        ),
        Bug(
            "diagonal-jacobian",
            "only the diagonal of the softmax Jacobian is used",
            "rows of dz do not sum to 0",
            Program(output=DiagonalJacobian),
        ),
        Bug(
            "extra-derivative",
            "y − t is multiplied by y(1 − y) once more",
            "learning stalls where y is sure, right or wrong",
            Program(output=ExtraDerivative),
        ),
        Bug("sign-flipped", "dz = t − y", "the loss climbs", Program(output=SignFlipped)),
        Bug("factor-two", "dz = 2(y − t)/N", "as with twice the learning rate", Program(output=FactorTwo)),
        Bug(
            "other-loss",
            "the squared error is reported, and y − t used as its gradient",
            "it learns, and reports something else",
            Program(output=OtherLoss),
        ),
        Bug(
            "targets-not-summing",
            "rows of targets that sum to more than 1",
            "y − t is not the gradient: all logits drift",
            Program(samples=targets_not_summing, evaluate=evaluate_unchecked),
            "input check",
            lambda dataset: refusal(lambda: target_rows(targets_not_summing(dataset).train.t, dataset.K)),
        ),
        Bug(
            "labels-from-one",
            "class numbers start at 1",
            "a class too many, which never occurs (or an index error)",
            Program(samples=labels_from_one),
            "input check",
            lambda dataset: refusal(lambda: target_rows(dataset.train.t + 1, dataset.K)),
        ),
        Bug(
            "labels-column",
            "labels of shape (N, 1) are compared with predictions of shape (N,)",
            "broadcasting: the accuracy stays near 1/K, however good the network",
            Program(evaluate=labels_column),
            "input check",
            lambda dataset: refusal(lambda: target_rows(dataset.train.t[:, np.newaxis], dataset.K)),
        ),
        Bug(
            "bias-all-axes",
            "db is summed over all axes",
            "it broadcasts in silence; almost 0 in the last layer",
            Program(linear=BiasAllAxes),
        ),
        Bug(
            "x-shuffled-alone",
            "the samples are shuffled, the targets are not",
            "the loss stays at ln K",
            Program(epoch=x_shuffled_alone),
            "equivalence test",
            overfits_one_batch,
        ),
        Bug(
            "update-before-dx",
            "W is updated before dx is computed from it",
            "small, wrong gradients in the layers below",
            Program(linear=UpdateBeforeDx),
        ),
        Bug(
            "gradients-accumulated",
            "gradients of the last step are not cleared",
            "the gradient of everything so far: it overshoots",
            Program(linear=GradientsAccumulated),
        ),
        Bug(
            "caller-array-changed",
            "ReLU's backward writes into the array it was given",
            "nothing, until somebody else needs that array",
            Program(activation=CallerArrayChanged),
        ),
        Bug(
            "integer-arrays",
            "features are centred in unsigned integers",
            "0 − 1 is 255: features are torn apart",
            Program(samples=integer_arrays),
            "input check",
            lambda dataset: refusal(lambda: check_features(dataset.train.x.astype(np.uint8), dataset.D, "train")),
        ),
        Bug(
            "nominal-batch-size",
            "dz is divided by 32, also in the last, shorter batch",
            "the last batch of an epoch counts less than the others",
            Program(output=NominalBatchSize),
        ),
        Bug(
            "scaler-before-split",
            "features are standardised before the data is split",
            "nothing: the test part has leaked into training, and results look a little too good",
            Program(samples=scaler_before_split),
            "equivalence test",
            held_out_samples_matter,
        ),
        Bug(
            "derivative-missing",
            "ReLU's backward passes every gradient on",
            "it learns, but not what it reports",
            Program(activation=DerivativeMissing),
        ),
    )
}
