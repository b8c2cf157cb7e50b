"""What does a layer compute, and what is its gradient? Each backward stands directly under its forward.

A layer owns no parameters: its ``W, b`` and their gradients ``dW, db`` are views into the network's two flat
vectors ``theta`` and ``dtheta``. Every equation holds for arrays with any leading axes, so that the same line
serves one network and a stack of S of them, and for complex numbers, so that it can be checked by a complex step.
Numbers of equations are those of docs/derivation.md, here and in all files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Layer(Protocol):
    """What a network asks of a layer; write these four members and a class of your own is a layer.

    A layer remembers in ``forward`` what ``backward`` needs, as plain attributes that can be printed. Minnet's own
    layers keep their constructor's arguments as attributes of the same name, so that a saved network can be built
    again; a layer of one's own can be trained and checked, but not saved, since a model file holds no code.

    Two more members are optional. A layer that does something else in training than afterwards has ``infer(x)``, which
    predictions and evaluations call in place of ``forward``. A layer with an attribute ``random`` gets a
    `RandomNumbers` there, from which alone it may draw. Parameters named running_… are statistics that ``forward``
    keeps and no gradient moves.
    """

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The parameters the layer needs, by name; the network sets ``q`` and ``dq`` for each name q."""

    def initialize(self, rng: np.random.Generator, following: object) -> None:
        """Fill the parameters; ``following`` is the layer that takes this one's output."""

    def forward(self, x: Array) -> Array:
        """Compute the output for the input ``x`` of shape (..., N, D)."""

    def backward(self, doutput: Array) -> Any:
        """Fill the parameters' gradients and return ``dx``, leaving ``doutput`` as it is."""


class Linear:
    """A fully connected layer: z = x W + b.

    Parameters
    ----------
    D, H : int
        Number of input features and of outputs, at least 1 each.

    Attributes
    ----------
    W, dW : array of shape (..., D, H)
        The weight and the mean loss's gradient with respect to it; views into ``theta`` and ``dtheta``.
    b, db : array of shape (..., 1, H)
        The bias and its gradient, likewise.
    needs_dx : bool
        Whether ``backward`` computes dx. A network turns it off in its first layer, whose dx nobody reads and
        which costs a third of the layer's time; turn it on again to get the gradient at the input.
    """

    W: Array
    b: Array
    dW: Array
    db: Array

    def __init__(self, D: int, H: int) -> None:
        self.D, self.H = whole("Linear", "D", D), whole("Linear", "H", H)
        self.shapes = {"W": (self.D, self.H), "b": (1, self.H)}
        self.needs_dx = True
        self.x: Array | None = None

    def __repr__(self) -> str:
        return f"Linear({self.D}, {self.H})"

    def initialize(self, rng: np.random.Generator, following: object) -> None:
        """Draw W so that the signal keeps its size on its way through the layers; set b to 0.

        Before a `ReLU` (or a subclass of it), which silences half of its inputs: W ~ Normal(0, σ²). With σ² = 2/D the
        activations keep their size on the way forward, with σ² = 2/H the gradients theirs on the way back (He et al.
        2015, eqs. 10 and 14); the smaller of the two is taken, so that neither grows. Otherwise W ~ Uniform(−r, r)
        with r = √(6/(D + H)), the compromise between the two ways for units without a kink (Glorot and Bengio 2010,
        eq. 16). A `LeakyReLU` lets a share ``slope`` of the other half through: 2 becomes 2/(1 + slope²).
        """
        if isinstance(following, ReLU | LeakyReLU):
            gain = 2 / (1 + following.slope**2) if isinstance(following, LeakyReLU) else 2
            self.W[...] = rng.normal(0.0, np.sqrt(gain / max(self.D, self.H)), self.W.shape)
        else:
            r = np.sqrt(6 / (self.D + self.H))
            self.W[...] = rng.uniform(-r, r, self.W.shape)
        self.b[...] = 0

    def forward(self, x: Array) -> Array:
        """z = x W + b, for x of shape (..., N, D); z has shape (..., N, H)."""
        self.x = x
        return x @ self.W + self.b

    def backward(self, dz: Array) -> Array | None:
        """dW = xᵀ dz, db = Σ_n dz_n, dx = dz Wᵀ; dz has shape (..., N, H) (eqs. 12a, 12b, 12c)."""
        x = remembered(self, self.x)
        np.matmul(x.mT, dz, out=self.dW)
        dz.sum(axis=-2, keepdims=True, out=self.db)
        return dz @ self.W.mT if self.needs_dx else None


class RandomNumbers:
    """Random numbers for layers that draw some: each network of a stack has a stream of its own.

    Parameters
    ----------
    generators : sequence of numpy.random.Generator
        One for each network.
    stacked : bool
        Whether what is drawn gets a leading axis, as in a stack; otherwise there is one network.
    """

    def __init__(self, generators: Sequence[np.random.Generator], stacked: bool) -> None:
        self.generators, self.stacked = list(generators), stacked

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Draw uniformly from [0, 1): float32 of that shape, or (S, …) for a stack."""
        drawn = [generator.random(shape, dtype=np.float32) for generator in self.generators]
        return np.stack(drawn) if self.stacked else drawn[0]


class ReLU:
    """The rectifier a = max(x, 0), elementwise. Its gradient at exactly 0 is taken to be 0."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.x: Array | None = None

    def __repr__(self) -> str:
        return "ReLU()"

    def initialize(self, rng: np.random.Generator, following: object) -> None:
        """Nothing to fill."""

    def forward(self, x: Array) -> Array:
        """a = max(x, 0); x and a have the same shape."""
        self.x = x
        return np.maximum(x, 0)

    def backward(self, da: Array) -> Array:
        """dx = da where x > 0, else 0 (eq. 13a)."""
        return da * (remembered(self, self.x) > 0)


class LeakyReLU:
    """The leaky rectifier: a = x where x > 0, else slope · x, elementwise. No unit is ever quite dead.

    Parameters
    ----------
    slope : float, default 0.01
        From 0 to below 1 (Maas et al. 2013 take 0.01).
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = share("LeakyReLU", "slope", slope)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.x: Array | None = None

    def __repr__(self) -> str:
        return f"LeakyReLU({self.slope})"

    def initialize(self, rng: np.random.Generator, following: object) -> None:
        """Nothing to fill."""

    def forward(self, x: Array) -> Array:
        """a = x where x > 0, else slope · x; x and a have the same shape."""
        self.x = x
        return np.where(x > 0, x, self.slope * x)

    def backward(self, da: Array) -> Array:
        """dx = da where x > 0, else slope · da (eq. 13d)."""
        return np.where(remembered(self, self.x) > 0, da, self.slope * da)


class Tanh:
    """The hyperbolic tangent a = tanh(x), elementwise."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.a: Array | None = None

    def __repr__(self) -> str:
        return "Tanh()"

    def initialize(self, rng: np.random.Generator, following: object) -> None:
        """Nothing to fill."""

    def forward(self, x: Array) -> Array:
        """a = tanh(x); x and a have the same shape."""
        self.a = np.tanh(x)
        return self.a

    def backward(self, da: Array) -> Array:
        """dx = da (1 − a²) (eq. 13b)."""
        a = remembered(self, self.a)
        dx: Array = da * (1 - a * a)
        return dx


class Sigmoid:
    """The logistic function a = 1 / (1 + e^-x), elementwise."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.a: Array | None = None

    def __repr__(self) -> str:
        return "Sigmoid()"

    def initialize(self, rng: np.random.Generator, following: object) -> None:
        """Nothing to fill."""

    def forward(self, x: Array) -> Array:
        """a = 1 / (1 + e^-x) = (1 + tanh(x/2)) / 2, the form in which no exponential can overflow."""
        self.a = 0.5 + 0.5 * np.tanh(0.5 * x)
        return self.a

    def backward(self, da: Array) -> Array:
        """dx = da a (1 − a) (eq. 13c)."""
        a = remembered(self, self.a)
        dx: Array = da * a * (1 - a)
        return dx


class Dropout:
    """Dropout: in training each entry of x is 0 with probability p, else x/(1 − p); afterwards nothing is changed.

    Dividing by 1 − p in training keeps the expected value, so that inference needs no correction (Srivastava et al.
    2014, section 10).

    Parameters
    ----------
    p : float, default 0.5
        The share of entries dropped, from 0 to below 1.

    Attributes
    ----------
    mask : array of shape (N, H), or (S, N, H) in a stack
        What the last ``forward`` multiplied x by.
    random : RandomNumbers or None
        Where masks are drawn from; a network sets it. None keeps the mask that there is, to look at it in peace.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = share("Dropout", "p", p)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.mask: Array | None = None
        self.random: RandomNumbers | None = None

    def __repr__(self) -> str:
        return f"Dropout({self.p})"

    def initialize(self, rng: np.random.Generator, following: object) -> None:
        """Nothing to fill."""

    def forward(self, x: Array) -> Array:
        """a = x · mask with a new mask; x and a have the same shape."""
        if self.random is not None:
            kept = self.random.uniform(x.shape[-2:]) >= self.p
            self.mask = np.multiply(kept, 1 / (1 - self.p), dtype=x.real.dtype)
        if self.mask is None:
            raise RuntimeError(f"{self!r} has no random numbers: put it into a Network, or set its mask")
        return x * self.mask

    def infer(self, x: Array) -> Array:
        """a = x."""
        return x

    def backward(self, da: Array) -> Array:
        """dx = da · mask (eq. 13e)."""
        return da * remembered(self, self.mask)


class BatchNorm:
    """Batch normalisation: each feature gets mean 0 and variance 1 over the batch, then a scale and shift of its own.

    After training, averages of the batches' means and variances take the batch's place, so that a prediction does not
    depend on what else is predicted. They are entries of theta that no gradient moves (theirs is 0) and each training
    ``forward`` updates: so they are saved, stacked and restored with the weights (Ioffe and Szegedy 2015).

    Parameters
    ----------
    D : int
        Number of features, at least 1.
    momentum : float, default 0.1
        How far a batch moves the running averages towards its own, from 0 to below 1.
    epsilon : float, default 1e-5
        Added to the variance, above 0.

    Attributes
    ----------
    gamma, beta, dgamma, dbeta : array of shape (..., 1, D)
        Scale and shift, 1 and 0 at the start, and their gradients.
    running_mean, running_variance : array of shape (..., 1, D)
        The averages, 0 and 1 at the start. The variance is the unbiased one, with N − 1; a batch of a single sample
        has none, and leaves them as they are.
    """

    gamma: Array
    beta: Array
    dgamma: Array
    dbeta: Array
    running_mean: Array
    running_variance: Array

    def __init__(self, D: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        self.D = whole("BatchNorm", "D", D)
        self.momentum = share("BatchNorm", "momentum", momentum)
        self.epsilon = positive("BatchNorm", "epsilon", epsilon)
        self.shapes = dict.fromkeys(("gamma", "beta", "running_mean", "running_variance"), (1, self.D))
        self.normalized: Array | None = None

    def __repr__(self) -> str:
        return f"BatchNorm({self.D})"

    def initialize(self, rng: np.random.Generator, following: object) -> None:
        """Let it change nothing but mean and variance, at first."""
        self.gamma[...], self.beta[...] = 1, 0
        self.running_mean[...], self.running_variance[...] = 0, 1

    def forward(self, x: Array) -> Array:
        """a = γ x̂ + β with x̂ = (x − μ)/√(σ² + ε), μ and σ² over the batch; x and a have shape (..., N, D) (eq. 13f)."""
        N = x.shape[-2]
        mean = x.mean(axis=-2, keepdims=True)
        centred = x - mean
        variance = (centred * centred).mean(axis=-2, keepdims=True)
        self.scale = 1 / np.sqrt(variance + self.epsilon)
        self.normalized = centred * self.scale
        if N > 1:  # of the real parts: the averages are no part of the loss that a complex step differentiates
            self.running_mean += self.momentum * (mean.real - self.running_mean)
            self.running_variance += self.momentum * (variance.real * (N / (N - 1)) - self.running_variance)
        a: Array = self.gamma * self.normalized + self.beta
        return a

    def infer(self, x: Array) -> Array:
        """a = γ (x − running mean)/√(running variance + ε) + β (eq. 13g)."""
        scale = self.gamma / np.sqrt(self.running_variance + self.epsilon)
        a: Array = (x - self.running_mean) * scale + self.beta
        return a

    def backward(self, da: Array) -> Array:
        """dγ = Σ_n da x̂, dβ = Σ_n da, dx = (dx̂ − mean dx̂ − x̂ mean(dx̂ x̂))/√(σ² + ε), dx̂ = γ da (eq. 13f)."""
        normalized = remembered(self, self.normalized)
        (da * normalized).sum(axis=-2, keepdims=True, out=self.dgamma)
        da.sum(axis=-2, keepdims=True, out=self.dbeta)
        return normalization_backward(da * self.gamma, normalized, self.scale, axis=-2)


class LayerNorm:
    """Layer normalisation: each sample gets mean 0 and variance 1 over its features, then scale and shift by feature.

    It knows no batch, so that training and inference are the same (Ba et al. 2016).

    Parameters
    ----------
    D : int
        Number of features, at least 1.
    epsilon : float, default 1e-5
        Added to the variance, above 0.

    Attributes
    ----------
    gamma, beta, dgamma, dbeta : array of shape (..., 1, D)
        Scale and shift, 1 and 0 at the start, and their gradients.
    """

    gamma: Array
    beta: Array
    dgamma: Array
    dbeta: Array

    def __init__(self, D: int, epsilon: float = 1e-5) -> None:
        self.D = whole("LayerNorm", "D", D)
        self.epsilon = positive("LayerNorm", "epsilon", epsilon)
        self.shapes = dict.fromkeys(("gamma", "beta"), (1, self.D))
        self.normalized: Array | None = None

    def __repr__(self) -> str:
        return f"LayerNorm({self.D})"

    def initialize(self, rng: np.random.Generator, following: object) -> None:
        """Let it change nothing but mean and variance, at first."""
        self.gamma[...], self.beta[...] = 1, 0

    def forward(self, x: Array) -> Array:
        """a = γ x̂ + β with x̂ = (x − μ)/√(σ² + ε), μ and σ² of each sample; x and a have shape (..., N, D) (eq. 13h)."""
        centred = x - x.mean(axis=-1, keepdims=True)
        self.scale = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + self.epsilon)
        self.normalized = centred * self.scale
        a: Array = self.gamma * self.normalized + self.beta
        return a

    def backward(self, da: Array) -> Array:
        """As of `BatchNorm`, with the means over each sample's features (eq. 13h)."""
        normalized = remembered(self, self.normalized)
        (da * normalized).sum(axis=-2, keepdims=True, out=self.dgamma)
        da.sum(axis=-2, keepdims=True, out=self.dbeta)
        return normalization_backward(da * self.gamma, normalized, self.scale, axis=-1)


def normalization_backward(dnormalized: Array, normalized: Array, scale: Array, axis: int) -> Array:
    """dx = (dx̂ − mean dx̂ − x̂ mean(dx̂ x̂)) · scale, for x̂ with mean 0 and variance 1 along an axis (eqs. 13f, 13h)."""
    dx: Array = dnormalized - dnormalized.mean(axis=axis, keepdims=True)
    dx -= normalized * (dnormalized * normalized).mean(axis=axis, keepdims=True)
    dx *= scale
    return dx


def whole(owner: str, name: str, value: object) -> int:
    """Return an integer of at least 1, or raise ValueError."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{owner} expected {name} to be an integer of at least 1, got {value!r}")
    return int(value)


def share(owner: str, name: str, value: object) -> float:
    """Return a number from 0 to below 1, or raise ValueError."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not 0 <= float(value) < 1:
        raise ValueError(f"{owner} expected {name} to be at least 0 and below 1, got {value!r}")
    return float(value)


def positive(owner: str, name: str, value: object) -> float:
    """Return a finite number above 0, or raise ValueError."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not 0 < float(value) < np.inf:
        raise ValueError(f"{owner} expected {name} to be a finite number above 0, got {value!r}")
    return float(value)


def remembered(layer: object, array: Array | None) -> Array:
    """Return what ``forward`` left behind, or raise RuntimeError if ``forward`` never ran."""
    if array is None:
        raise RuntimeError(f"{layer!r}.backward was called before forward: call forward first")
    return array
