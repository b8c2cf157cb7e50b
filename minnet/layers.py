"""What does a layer compute, and what is its gradient? Each backward stands directly under its forward.

A layer owns no parameters: its ``W, b`` and their gradients ``dW, db`` are views into the network's two flat
vectors ``theta`` and ``dtheta``. Every equation holds for arrays with any leading axes, so that the same line
serves one network and a stack of S of them, and for complex numbers, so that it can be checked by a complex step.
Numbers of equations are those of docs/derivation.md, here and in all files.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from minnet.support import expect, fit
from minnet.support.stack import RandomNumbers

Array = npt.NDArray[Any]


class Layer(Protocol):
    """What a network asks of a layer: ``forward`` and ``backward``, and ``shapes`` if it has parameters.

    Any class with these members is a layer; one that inherits from this one has the rest by default. A layer
    remembers in ``forward`` what ``backward`` needs, as plain attributes that can be printed. Minnet's own layers keep
    their constructor's arguments as attributes of the same name, so that a saved network can be built again; a layer
    of one's own can be trained and checked, but not saved, since a model file holds no code.

    Parameters named running_… are statistics that ``forward`` keeps and no gradient moves. A layer that does something
    else in training than afterwards has ``infer(x)``, which predictions and evaluations call in place of ``forward``.
    A layer with an attribute ``random`` gets a `RandomNumbers` there, from which alone it may draw.

    Attributes
    ----------
    shapes : mapping of str to tuple of int
        The parameters by name, none by default; the network sets ``q`` and ``dq`` for each name q.
    gain : float or None
        By how much the variance of the weights before it must grow, since it lets only a share of its input through
        (2 for a `ReLU`). None has `minnet.support.fit.gain_of` find out.
    """

    shapes: Mapping[str, tuple[int, ...]] = {}
    gain: float | None = None

    def initialize(self, rng: "np.random.Generator", following: object) -> None:
        """Draw each W so that the signal keeps its size on its way through the layers; set all else to 0.

        Before a layer with a gain, such as a `ReLU`, which silences half of its inputs: W ~ Normal(0, σ²). With
        σ² = gain/D the activations keep their size on the way forward, with σ² = gain/H the gradients theirs on the
        way back (eqs. 13i, 13j; He et al. 2015); the smaller of the two is taken, so that neither grows. Otherwise
        W ~ Uniform(−r, r) with r = √(6/(D + H)), the compromise between the two ways for units without a kink
        (eq. 13k; Glorot and Bengio 2010). ``following`` is the layer that takes this one's output.
        """
        for name, shape in fit.shapes_of(self).items():
            parameter: Array = getattr(self, name)
            parameter[...] = 0
            if name == "W":
                D, H, gain = math.prod(shape[:-1]), shape[-1], fit.gain_of(following)
                r = math.sqrt(6 / (D + H))
                he = gain != 1
                parameter[...] = rng.normal(0, math.sqrt(gain / max(D, H)), shape) if he else rng.uniform(-r, r, shape)

    def forward(self, x: Array) -> Array:
        """Compute the output for the input ``x`` of shape (..., N, D)."""

    def backward(self, doutput: Array) -> Any:
        """Fill the parameters' gradients and return ``dx``, leaving ``doutput`` as it is."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Linear(Layer):
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
    x : array of shape (..., N, D)
        The input of the last ``forward``.
    needs_dx : bool
        Whether ``backward`` computes dx. A network turns it off in its first layer, whose dx nobody reads and
        which costs a third of the layer's time; turn it on again to get the gradient at the input.
    """

    W: Array
    b: Array
    dW: Array
    db: Array

    def __init__(self, D: int, H: int) -> None:
        self.D, self.H = expect.integer("Linear D", D), expect.integer("Linear H", H)
        self.shapes = {"W": (self.D, self.H), "b": (1, self.H)}
        self.needs_dx = True

    def __repr__(self) -> str:
        return f"Linear({self.D}, {self.H})"

    def forward(self, x: Array) -> Array:
        """z = x W + b, for x of shape (..., N, D); z has shape (..., N, H)."""
        self.x = x
        return x @ self.W + self.b

    def backward(self, dz: Array) -> Array | None:
        """dW = xᵀ dz, db = Σ_n dz_n, dx = dz Wᵀ; dz has shape (..., N, H) (eqs. 12a, 12b, 12c)."""
        np.matmul(self.x.mT, dz, out=self.dW)
        dz.sum(axis=-2, keepdims=True, out=self.db)
        return dz @ self.W.mT if self.needs_dx else None


class ReLU(Layer):
    """The rectifier a = max(z, 0), elementwise. Its gradient at exactly 0 is taken to be 0."""

    gain = 2.0

    def forward(self, z: Array) -> Array:
        """a = max(z, 0); z and a have the same shape."""
        self.z = z
        return np.maximum(z, 0)

    def backward(self, da: Array) -> Array:
        """dz = da where z > 0, else 0 (eq. 13a)."""
        return da * (self.z > 0)


class LeakyReLU(Layer):
    """The leaky rectifier: a = z where z > 0, else slope · z, elementwise. No unit is ever quite dead.

    Parameters
    ----------
    slope : float, default 0.01
        From 0 to below 1 (Maas et al. 2013 take 0.01). A share ``slope`` of the other half gets through: gain 2 becomes
        2/(1 + slope²).
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = expect.number("LeakyReLU slope", slope, least=0, below=1)
        self.gain = 2 / (1 + self.slope**2)

    def __repr__(self) -> str:
        return f"LeakyReLU({self.slope})"

    def forward(self, z: Array) -> Array:
        """a = z where z > 0, else slope · z; z and a have the same shape."""
        self.z = z
        return np.where(z > 0, z, self.slope * z)

    def backward(self, da: Array) -> Array:
        """dz = da where z > 0, else slope · da (eq. 13d)."""
        return np.where(self.z > 0, da, self.slope * da)


class Tanh(Layer):
    """The hyperbolic tangent a = tanh(z), elementwise."""

    def forward(self, z: Array) -> Array:
        """a = tanh(z); z and a have the same shape."""
        self.a = np.tanh(z)
        return self.a

    def backward(self, da: Array) -> Array:
        """dz = da (1 − a²) (eq. 13b)."""
        dz: Array = da * (1 - self.a * self.a)
        return dz


class Sigmoid(Layer):
    """The logistic function a = 1 / (1 + e^-z), elementwise."""

    def forward(self, z: Array) -> Array:
        """a = 1 / (1 + e^-z) = (1 + tanh(z/2)) / 2, the form in which no exponential can overflow."""
        self.a = 0.5 + 0.5 * np.tanh(0.5 * z)
        return self.a

    def backward(self, da: Array) -> Array:
        """dz = da a (1 − a) (eq. 13c)."""
        dz: Array = da * self.a * (1 - self.a)
        return dz


class Dropout(Layer):
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
        self.p = expect.number("Dropout p", p, least=0, below=1)
        self.random: RandomNumbers | None = None

    def __repr__(self) -> str:
        return f"Dropout({self.p})"

    def forward(self, x: Array) -> Array:
        """a = x · mask with a new mask; x and a have the same shape."""
        if self.random is not None:
            kept = self.random.uniform(x.shape[-2:]) >= self.p
            self.mask = np.multiply(kept, 1 / (1 - self.p), dtype=x.real.dtype)
        elif not hasattr(self, "mask"):
            raise RuntimeError(f"{self!r} has no random numbers: put it into a Network, or set its mask")
        return x * self.mask

    def infer(self, x: Array) -> Array:
        """a = x."""
        return x

    def backward(self, da: Array) -> Array:
        """dx = da · mask (eq. 13e)."""
        return da * self.mask


class Normalization(Layer):
    """What `BatchNorm` and `LayerNorm` share: x̂ with mean 0 and variance almost 1 along an axis, then scale and shift.

    Attributes
    ----------
    gamma, beta, dgamma, dbeta : array of shape (..., 1, D)
        Scale and shift, 1 and 0 at the start, and their gradients.
    normalized, scale : arrays
        x̂ and 1/√(σ² + ε) of the last ``forward``.
    """

    gamma: Array
    beta: Array
    dgamma: Array
    dbeta: Array
    axis: int
    statistics: tuple[str, ...] = ()

    def __init__(self, D: int, epsilon: float = 1e-5) -> None:
        self.D = expect.integer(f"{type(self).__name__} D", D)
        self.epsilon = expect.number(f"{type(self).__name__} epsilon", epsilon, above=0)
        self.shapes = dict.fromkeys(("gamma", "beta", *self.statistics), (1, self.D))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.D})"

    def initialize(self, rng: "np.random.Generator", following: object) -> None:
        """Let it change nothing but mean and variance, at first."""
        self.gamma[...], self.beta[...] = 1, 0

    def forward(self, x: Array) -> Array:
        """a = γ x̂ + β with x̂ = (x − x̄)/√(σ² + ε); x and a have shape (..., N, D) (eqs. 13f, 13h)."""
        mean = x.mean(axis=self.axis, keepdims=True)
        centred = x - mean
        variance = (centred * centred).mean(axis=self.axis, keepdims=True)
        self.scale = 1 / np.sqrt(variance + self.epsilon)
        self.normalized = centred * self.scale
        self.note(mean, variance, x.shape[-2])
        a: Array = self.gamma * self.normalized + self.beta
        return a

    def note(self, mean: Array, variance: Array, N: int) -> None:
        """Keep what is needed after training; nothing, unless a subclass says otherwise."""

    def backward(self, da: Array) -> Array:
        """dγ = Σ_n da x̂, dβ = Σ_n da, dx = (dx̂ − mean dx̂ − x̂ mean(dx̂ x̂))/√(σ² + ε), dx̂ = γ da (eqs. 13f, 13h)."""
        normalized, axis = self.normalized, self.axis
        (da * normalized).sum(axis=-2, keepdims=True, out=self.dgamma)
        da.sum(axis=-2, keepdims=True, out=self.dbeta)
        dnormalized = da * self.gamma
        dx: Array = dnormalized - dnormalized.mean(axis=axis, keepdims=True)
        dx -= normalized * (dnormalized * normalized).mean(axis=axis, keepdims=True)
        dx *= self.scale
        return dx


class BatchNorm(Normalization):
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
    running_mean, running_variance : array of shape (..., 1, D)
        The averages, 0 and 1 at the start. The variance is the unbiased one, with N − 1; a batch of a single sample
        has none, and leaves them as they are.
    """

    running_mean: Array
    running_variance: Array
    axis = -2
    statistics = ("running_mean", "running_variance")

    def __init__(self, D: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__(D, epsilon)
        self.momentum = expect.number("BatchNorm momentum", momentum, least=0, below=1)

    def initialize(self, rng: "np.random.Generator", following: object) -> None:
        """Let it change nothing but mean and variance, at first."""
        super().initialize(rng, following)
        self.running_mean[...], self.running_variance[...] = 0, 1

    def note(self, mean: Array, variance: Array, N: int) -> None:
        """Move the running averages, by real parts: they are no part of the loss that a complex step differentiates."""
        if N > 1:
            self.running_mean += self.momentum * (mean.real - self.running_mean)
            self.running_variance += self.momentum * (variance.real * (N / (N - 1)) - self.running_variance)

    def infer(self, x: Array) -> Array:
        """a = γ (x − running mean)/√(running variance + ε) + β (eq. 13g)."""
        scale = self.gamma / np.sqrt(self.running_variance + self.epsilon)
        a: Array = (x - self.running_mean) * scale + self.beta
        return a


class LayerNorm(Normalization):
    """Layer normalisation: each sample gets mean 0 and variance 1 over its features, then scale and shift by feature.

    It knows no batch, so that training and inference are the same (Ba et al. 2016; eq. 13h). Parameters and attributes
    are those of `Normalization`: D, the number of features, and epsilon, by default 1e-5.
    """

    axis = -1
