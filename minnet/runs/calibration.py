"""Do the probabilities mean what they say? One number, the temperature, that mends them, and figures that tell.

A network trained for long is surer of itself than it is right. Dividing its logits by a temperature T above 1 takes
that back, and T below 1 makes it surer; no prediction changes, since the largest logit stays the largest (Guo et al.
2017, "On calibration of modern neural networks").
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minnet.data.dataset import Dataset
from minnet.layers import Array, Layer
from minnet.network import Network
from minnet.support import expect
from minnet.support.stack import plain
from minnet.support.text import table
from minnet.training import logits

COLDEST, HOTTEST = 0.05, 20.0  # bounds of a temperature
PRIOR = 20  # how much T = 1 counts: as much as 20 samples whose logits have a variance of 1
BINS = 15  # as many as Guo et al. take
NAMES = {"log_loss": "log loss", "brier": "Brier score", "ece": "calibration error"}


class Temperature(Layer):
    """Logits made colder or hotter: a = β z, with β = 1/T. At the start T is 1, and nothing changes.

    Parameters
    ----------
    D : int
        Number of classes.

    Attributes
    ----------
    beta, dbeta : array of shape (..., 1, 1)
        The inverse temperature β, in which the loss is convex (eq. 16), and its gradient.
    """

    beta: Array
    dbeta: Array

    def __init__(self, D: int) -> None:
        self.D = expect.integer("Temperature D", D)
        self.shapes = {"beta": (1, 1)}

    def __repr__(self) -> str:
        return f"Temperature({self.D})"

    def initialize(self, rng: "np.random.Generator", following: object) -> None:
        """Let it change nothing, at first."""
        self.beta[...] = 1

    def forward(self, z: Array) -> Array:
        """a = β z; z and a have shape (..., N, K)."""
        self.z = z
        a: Array = self.beta * z
        return a

    def backward(self, da: Array) -> Array:
        """dβ = Σ_n Σ_k da_nk z_nk, dz = β da (eq. 16)."""
        (da * self.z).sum(axis=(-2, -1), keepdims=True, out=self.dbeta)
        dz: Array = self.beta * da
        return dz


def fit_temperature(z: npt.ArrayLike, t: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
    """Find the temperature at which logits have the least cross-entropy, on samples that were not trained on.

    A few dozen samples may all be right by luck, and T would go to 0. So β = 1/T is given a prior with its mode at 1,
    a gamma distribution, which hundreds of samples overrule (eq. 16a). The sum of both is convex in β, so that its
    slope rises, and where that is 0 is found by bisection and interpolation (Brent 1973).

    Parameters
    ----------
    z : array of shape (M, K)
        Logits, floating-point numbers.
    t : array of shape (M,) or (M, K)
        Targets: class numbers, or rows that sum to 1.
    sample_weight : array of shape (M,), optional
        How much each sample counts, at least 0; all the same by default. Against the prior, they count as many as
        their effective number (Σ_n w_n)² / Σ_n w_n² (Kish 1965).

    Returns
    -------
    float
        T, from 0.05 to 20. The mean cross-entropy of the samples is at most what it is with T = 1.

    Raises
    ------
    TypeError, ValueError
        If logits, targets or weights are not such, as `minnet.Network.check` says.
    """
    from scipy.optimize import brentq

    given = expect.features("a temperature", z)
    network = Network([Temperature(given.shape[1])], dtype="float64")
    x, targets, w = network.check(given, t, sample_weight)
    M = len(x) if w is None else w.sum() ** 2 / (w @ w)

    def slope(beta: float) -> float:
        network.theta[...] = beta
        network.forward(x, targets, False, w)
        network.backward()
        return float(network.dtheta[0] + PRIOR / M * (1 - 1 / beta))

    least, most = 1 / HOTTEST, 1 / COLDEST
    if slope(least) >= 0:
        return HOTTEST
    if slope(most) <= 0:
        return COLDEST
    return float(1 / brentq(slope, least, most))


def temperature_of(network: Network, dataset: Dataset) -> Any:
    """Fit a temperature on the validation split: a float, or an array (S,) of one for each network of a stack.

    It is 1 for a network whose logits are not finite.
    """
    x, t, w = network.check(*dataset.validation, dataset.sample_weight.get("validation"))
    z = logits(network, x)
    each = z.reshape(-1, *z.shape[-2:])
    fitted = [fit_temperature(one, t, w) if np.isfinite(one).all() else 1.0 for one in each]
    return plain(np.reshape(fitted, z.shape[:-2]))


class Reliability(NamedTuple):
    """How sure a network was of its predictions, and how often it was right, in bins of how sure it was.

    Attributes
    ----------
    samples : array of shape (B,)
        How many are in each bin; only bins that have some are listed, the least sure first.
    confidence : array of shape (B,)
        Their mean probability of the class predicted.
    accuracy : array of shape (B,)
        The share of them that is right.
    """

    samples: Array
    confidence: Array
    accuracy: Array

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of abs(accuracy − confidence) over the bins, by their samples."""
        return float(np.average(np.abs(self.accuracy - self.confidence), weights=self.samples))


def reliability(y: Array, t: npt.ArrayLike) -> Reliability:
    """Sort samples by the probability of the class predicted into 15 bins of equal width (Guo et al. 2017).

    Parameters
    ----------
    y : array of shape (N, K)
        Probabilities.
    t : array of shape (N,) or (N, K)
        Targets; of rows, each one's largest entry counts.
    """
    right = y.argmax(axis=1) == expect.targets(t, y.shape[1], N=len(y)).argmax(axis=1)
    confidence = y.max(axis=1).astype(np.float64)
    places = np.ceil(BINS * np.minimum(confidence, 1)).astype(int)  # bin b holds those above (b − 1)/15, up to b/15
    samples = np.bincount(places)
    filled = samples > 0
    means = (np.bincount(places, each)[filled] / samples[filled] for each in (confidence, right))
    return Reliability(samples[filled], *means)


def calibration_figures(y: Array, t: npt.ArrayLike) -> dict[str, float]:
    """Tell how good probabilities are.

    Parameters
    ----------
    y : array of shape (N, K)
        Probabilities.
    t : array of shape (N,) or (N, K)
        Targets; of rows, each one's largest entry counts.

    Returns
    -------
    dict
        ``log_loss``, the mean cross-entropy in nats, of which a probability of 0 costs as much as the smallest normal
        number of its dtype: 87 in float32, 708 in float64 (scikit-learn cuts off at 16 and 36). ``brier``, the mean of
        Σ_k (y_k − t_k)², from 0 to 2 (Brier 1950): with two classes, twice what looks at one of them only. ``ece``, the
        expected calibration error: how far, on average over 15 bins of equal width, the share that is right lies from
        the probability of the class predicted (Guo et al. 2017). Luck leaves gaps, too: perfect probabilities may have
        an ``ece`` of 0.12 on 50 samples, 0.03 on 1,000. Every sample counts the same.
    """
    labels = expect.targets(t, y.shape[1], N=len(y)).argmax(axis=1)
    of_label = np.maximum(y[np.arange(len(y)), labels], np.finfo(y.dtype).tiny)
    return {
        "log_loss": float(-np.log(of_label, dtype=np.float64).mean()),
        "brier": float(((y - np.eye(y.shape[1])[labels]) ** 2).sum(axis=1).mean()),
        "ece": reliability(y, labels).error,
    }


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a temperature does to the probabilities of the test split.

    Attributes
    ----------
    temperature : float
        The temperature, of several networks their mean.
    before, after : arrays of shape (N, K)
        Probabilities without it and with it.
    t : array of shape (N,)
        Class numbers.
    """

    temperature: float
    before: Array
    after: Array
    t: Array

    @classmethod
    def of(cls, network: Network, dataset: Dataset, temperature: float) -> "Calibration":
        """Let a network answer on the test split."""
        x, t, _ = network.check(*dataset.test)
        z, softmax = logits(network, x), network.output.probabilities
        return cls(temperature, softmax(z), softmax(z / z.dtype.type(temperature)), t.argmax(axis=1))

    @cached_property
    def figures(self) -> tuple[dict[str, float], dict[str, float]]:
        """How good the probabilities are before and after, as `calibration_figures` tells."""
        return calibration_figures(self.before, self.t), calibration_figures(self.after, self.t)

    @property
    def names(self) -> tuple[str, str]:
        """What the two are called."""
        return "as trained", f"with temperature {self.temperature:.2f}"

    def results(self) -> dict[str, Any]:
        """Give the figures as data."""
        before, after = self.figures
        return {"temperature": self.temperature, "before": before, "after": after}

    def line(self) -> str:
        """Say what the temperature changes."""
        before, after = self.figures
        changes = [f"{what} {before[name]:.4f} → {after[name]:.4f}" for name, what in NAMES.items() if name != "brier"]
        return f"calibration    temperature {self.temperature:.2f}: {', '.join(changes)}"

    def table(self) -> list[str]:
        """Give all figures, without the temperature and with it."""
        rows = [["calibration", *NAMES.values()]]
        for name, figures in zip(self.names, self.figures, strict=True):
            rows.append([name, *(f"{figures[each]:.4f}" for each in NAMES)])
        return table(rows, "<>>>")

    def reliabilities(self) -> dict[str, Reliability]:
        """Give what `minnet.plots.plot_reliability` draws."""
        found = reliability(self.before, self.t), reliability(self.after, self.t)
        return dict(zip(self.names, found, strict=True))
