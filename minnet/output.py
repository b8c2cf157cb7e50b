"""How wrong are the logits, and which way is better? Softmax and cross-entropy as one output layer.

Together they have a backward pass that is shorter than either one's alone: y − t.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from minnet.layers import Array
from minnet.support import expect


class OutputLayer(Protocol):
    """What a network asks of its output layer; any class with these members is one."""

    def forward(self, z: Array, t: Array) -> Array:
        """Compute the mean loss of the logits ``z`` (..., N, K) against the targets ``t`` (..., N, K).

        Where samples have weights (..., N), these are given as a third argument, sample_weight.
        """

    def backward(self) -> Array:
        """Compute ``dz``, the mean loss's gradient at the logits of the last ``forward``."""

    def probabilities(self, z: Array) -> Array:
        """Turn logits into probabilities of the same shape."""


class SoftmaxCrossEntropy:
    """Softmax followed by cross-entropy: C = −Σ_n w_n Σ_k t_nk log y_nk with y = softmax(z), Σ_n w_n = 1.

    The weights w_n are 1/N each unless samples or classes are given others. Both passes start from log y, computed by
    log-sum-exp on logits shifted by their row's maximum. So no logarithm of a rounded-off 0 is ever taken, and loss
    and gradient belong together for all finite logits whose differences within a row are finite in their dtype, too.

    Parameters
    ----------
    label_smoothing : float, default 0
        α, from 0 to below 1: each target gives away the share α, evenly to all classes (eq. 10b; Szegedy et al. 2016,
        section 7).
    class_weight : sequence of K floats, optional
        How much a sample of each class counts, at least 0 and not all 0: twice the weight is twice the sample
        (eq. 10a). The loss stays a weighted mean.

    Attributes
    ----------
    y : array of shape (..., N, K)
        The probabilities of the last ``forward``.
    t : array of shape (..., N, K)
        Its targets, smoothed if they are to be.
    w : array of shape (..., N, 1) or None
        Its weights, which sum to 1; None if all samples count the same.
    """

    w: Array | None = None

    def __init__(self, label_smoothing: float = 0.0, class_weight: Sequence[float] | None = None) -> None:
        name = type(self).__name__
        self.label_smoothing = expect.number(f"{name} label_smoothing", label_smoothing, least=0, below=1)
        self.class_weight: list[float] | None = None
        if class_weight is not None:
            self.class_weight = expect.weights(f"{name} class_weight", class_weight).tolist()

    def __repr__(self) -> str:
        settings = {"label_smoothing": self.label_smoothing, "class_weight": self.class_weight}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in settings.items() if value)})"

    def forward(self, z: Array, t: Array, sample_weight: Array | None = None) -> Array:
        """C = −Σ_n w_n Σ_k t_nk log y_nk (eqs. 2, 2a, 10, 10a if weighted, 10b if smoothed).

        Parameters
        ----------
        z : array of shape (..., N, K)
            The logits.
        t : array of shape (..., N, K)
            The targets: rows that sum to 1, as `minnet.support.expect.targets` makes them. It is not checked here.
        sample_weight : array of shape (..., N), optional
            How much each sample counts; at least 0, not checked here. All the same by default.

        Returns
        -------
        array of shape (...)
            The mean over the batch of each sample's loss, in nats.
        """
        log_y = log_softmax(z)
        N, K = z.shape[-2:]
        self.w = None
        if sample_weight is not None or self.class_weight is not None:
            self.w = self.shares(t, sample_weight)
        if self.label_smoothing:
            t = (1 - self.label_smoothing) * t + self.label_smoothing / K
        self.y, self.t = np.exp(log_y), t
        if self.w is None:
            loss: Array = -(t * log_y).sum(axis=(-2, -1)) / N
        else:
            loss = -(self.w * t * log_y).sum(axis=(-2, -1))
        return loss

    def shares(self, t: Array, sample_weight: Array | None) -> Array:
        """w_n of samples and classes, of shape (..., N, 1), with Σ_n w_n = 1, or all 0 if none counts (eq. 10a)."""
        w = np.ones(t.shape[:-1], t.dtype) if sample_weight is None else sample_weight
        if self.class_weight is not None:
            w = w * (t @ expect.relative("class_weight", self.class_weight, t.shape[-1], t.dtype))
        shares: Array = w / np.maximum(w.sum(axis=-1, keepdims=True), np.finfo(t.dtype).tiny)
        return shares[..., np.newaxis]

    def backward(self) -> Array:
        """dz = (y − t)/N, of shape (..., N, K) (eq. 9 is y − t, eq. 10 divides it by N; the long way is in the lab).

        y − t is the gradient of the *summed* loss, and holds because each row of t sums to 1; of the mean loss it is
        1/N of that, and of a weighted mean w_n (eq. 10a). This is the only place where a gradient is divided by N.
        """
        dz = self.y - self.t
        if self.w is None:
            dz /= dz.shape[-2]
        else:
            dz *= self.w
        return dz

    def probabilities(self, z: Array) -> Array:
        """y = softmax(z), over the last axis (eqs. 1, 1a)."""
        y: Array = np.exp(log_softmax(z))
        return y


def log_softmax(z: Array) -> Array:
    """log y_k = z_k − log Σ_j e^(z_j), over the last axis (eqs. 11a, 11b; eq. 11c says why not log(y + ε)).

    Shifting all z of a row by the same amount does not change y; shifted by their maximum, no exponential overflows
    and at least one of them is 1, so that the sum is at least 1 and its logarithm at least 0.
    """
    shifted = z - z.max(axis=-1, keepdims=True)
    log_y: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_y


def mean_loss(output: Any, z: Array, t: Array, sample_weight: Array | None = None) -> Any:
    """C of logits; an output layer that knows of no weights is not given any."""
    return output.forward(z, t) if sample_weight is None else output.forward(z, t, sample_weight)
