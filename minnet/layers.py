"""What does a layer compute, and what is its gradient? Each backward stands directly under its forward.

A layer owns no parameters: its ``W, b`` and their gradients ``dW, db`` are views into the network's two flat
vectors ``theta`` and ``dtheta``. Every equation holds for arrays with any leading axes, so that the same line
serves one network and a stack of S of them, and for complex numbers, so that it can be checked by a complex step.
Numbers of equations are those of docs/derivation.md, here and in all files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Layer(Protocol):
    """What a network asks of a layer; write these four members and a class of your own is a layer.

    A layer remembers in ``forward`` what ``backward`` needs, as plain attributes that can be printed. Minnet's own
    layers keep their constructor's arguments as attributes of the same name, so that a saved network can be built
    again; a layer of one's own can be trained and checked, but not saved, since a model file holds no code.
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
        for name, width in (("D", D), ("H", H)):
            if not isinstance(width, int | np.integer) or isinstance(width, bool) or width < 1:
                raise ValueError(f"Linear expected {name} to be an integer of at least 1, got {width!r}")
        self.D, self.H = int(D), int(H)
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
        eq. 16).
        """
        if isinstance(following, ReLU):
            self.W[...] = rng.normal(0.0, np.sqrt(2 / max(self.D, self.H)), self.W.shape)
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


def remembered(layer: object, array: Array | None) -> Array:
    """Return what ``forward`` left behind, or raise RuntimeError if ``forward`` never ran."""
    if array is None:
        raise RuntimeError(f"{layer!r}.backward was called before forward: call forward first")
    return array
