"""How wrong are the logits, and which way is better? Softmax and cross-entropy as one output layer.

Together they have a backward pass that is shorter than either one's alone: y − t.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class OutputLayer(Protocol):
    """What a network asks of its output layer."""

    def forward(self, z: Array, t: Array) -> Array:
        """Compute the mean loss of the logits ``z`` (..., N, K) against the targets ``t`` (..., N, K).

        Where samples have weights (..., N), these are given as a third argument.
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
        ε, from 0 to below 1: each target gives away the share ε, evenly to all classes (eq. 10b; Szegedy et al. 2016,
        section 7).
    class_weights : sequence of K floats, optional
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
    total_weight : float or array of shape (...)
        Of its samples, before they were made to sum to 1; N if all count the same.
    """

    def __init__(self, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None) -> None:
        if isinstance(label_smoothing, bool) or not 0 <= label_smoothing < 1:
            raise ValueError(f"SoftmaxCrossEntropy expected label_smoothing from 0 to below 1, got {label_smoothing!r}")
        self.label_smoothing = float(label_smoothing)
        self.class_weights = None if class_weights is None else checked_weights(class_weights).tolist()
        self.y: Array | None = None
        self.t: Array | None = None
        self.w: Array | None = None
        self.total_weight: Any = 0

    def __repr__(self) -> str:
        smoothing = [f"label_smoothing={self.label_smoothing}"] if self.label_smoothing else []
        weights = [f"class_weights={self.class_weights}"] if self.class_weights else []
        return f"SoftmaxCrossEntropy({', '.join(smoothing + weights)})"

    def forward(self, z: Array, t: Array, weights: Array | None = None) -> Array:
        """C = −Σ_n w_n Σ_k t_nk log y_nk (eqs. 2, 10, 10a if weighted, 10b if smoothed).

        Parameters
        ----------
        z : array of shape (..., N, K)
            The logits.
        t : array of shape (..., N, K)
            The targets: rows that sum to 1, which `target_rows` makes and checks. It is not checked here.
        weights : array of shape (..., N), optional
            How much each sample counts; at least 0, not checked here. All the same by default.

        Returns
        -------
        array of shape (...)
            The mean over the batch of each sample's loss, in nats.
        """
        log_y, (N, K) = log_softmax(z), z.shape[-2:]
        self.w, self.total_weight = None, N
        if weights is not None or self.class_weights is not None:
            w = np.ones(t.shape[:-1], t.dtype) if weights is None else weights
            if self.class_weights is not None:
                w = w * (t @ relative_weights(self.class_weights, z.shape[-1], t.dtype))
            self.total_weight = w.sum(axis=-1)  # of a batch of samples that do not count, 0: so is its loss
            self.w = (w / np.maximum(self.total_weight, np.finfo(t.dtype).tiny)[..., np.newaxis])[..., np.newaxis]
        if self.label_smoothing:
            t = (1 - self.label_smoothing) * t + self.label_smoothing / K
        self.y, self.t = np.exp(log_y), t
        loss: Array
        if self.w is None:
            loss = -(t * log_y).sum(axis=(-2, -1)) / N
        else:
            loss = -(self.w * t * log_y).sum(axis=(-2, -1))
        return loss

    def backward(self) -> Array:
        """dz = (y − t)/N, of shape (..., N, K) (eqs. 3, 4, 5, 6, 7, 8, 9 lead to y − t; eq. 10 divides it by N).

        y − t is the gradient of the *summed* loss, and holds because each row of t sums to 1; of the mean loss it is
        1/N of that, and of a weighted mean w_n (eq. 10a). This is the only place where a gradient is divided by N.
        """
        if self.y is None or self.t is None:
            raise RuntimeError(f"{self!r}.backward was called before forward: call forward first")
        dz: Array = self.y - self.t
        if self.w is None:
            dz /= self.y.shape[-2]
        else:
            dz *= self.w
        return dz

    def probabilities(self, z: Array) -> Array:
        """y = softmax(z), over the last axis (eq. 1)."""
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


def target_rows(t: npt.ArrayLike, K: int, dtype: npt.DTypeLike = np.float64) -> Array:
    """Check targets and bring them to the one form that the equations use: rows that sum to 1.

    Parameters
    ----------
    t : array of shape (N,) or (N, K)
        Class numbers 0 … K−1 as integers, or one row of K probabilities a sample (one-hot or soft).
    K : int
        Number of classes.
    dtype : dtype, default float64
        The dtype of the rows returned.

    Returns
    -------
    array of shape (N, K)

    Raises
    ------
    TypeError
        If ``t`` holds something that is neither: floats as class numbers, booleans, strings, objects.
    ValueError
        If a class number is out of range, a row does not sum to 1 (within 1e-5) or has negative or non-finite
        entries, or the shape is neither (N,) nor (N, K).
    """
    t = np.asarray(t)
    if t.ndim == 1:
        if not np.issubdtype(t.dtype, np.integer):
            raise TypeError(
                f"targets of shape (N,) are class numbers and must be integers, got {t.dtype}; "
                "for labels of any kind use: class_names, t = np.unique(labels, return_inverse=True)"
            )
        outside = np.flatnonzero((t < 0) | (t >= K))
        if outside.size:
            raise ValueError(f"class numbers must lie in 0 … {K - 1}, got {t[outside[0]]} at index {outside[0]}")
        rows = np.zeros((t.size, K), dtype=dtype)
        rows[np.arange(t.size), t] = 1
        return rows
    if t.ndim != 2 or t.shape[1] != K:
        remedy = "; a column of class numbers becomes (N,) with t[:, 0]" if t.shape[1:] == (1,) else ""
        raise ValueError(f"expected targets of shape (N,) or (N, {K}), got {t.shape}{remedy}")
    if not (np.issubdtype(t.dtype, np.floating) or np.issubdtype(t.dtype, np.integer)):
        raise TypeError(f"targets of shape (N, K) must be numbers, got {t.dtype}")
    bad = np.flatnonzero(~np.isfinite(t).all(axis=1) | (t < 0).any(axis=1))
    if bad.size:
        raise ValueError(f"targets must be finite and at least 0, got {t[bad[0]]} in row {bad[0]}")
    sums = t.sum(axis=1, dtype=np.float64)
    off = np.flatnonzero(np.abs(sums - 1) > 1e-5)
    if off.size:
        raise ValueError(
            "each row of targets must sum to 1 (only then is the gradient y − t), "
            f"got {sums[off[0]]:.6g} in row {off[0]}"
        )
    normalized: Array = (t / sums[:, np.newaxis]).astype(dtype)
    return normalized


def checked_weights(weights: npt.ArrayLike, N: int | None = None) -> Array:
    """Return weights of samples (N of them) or classes as float64, or raise ValueError."""
    try:
        array = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"expected weights to be numbers, got {weights!r:.80}") from None
    if array.ndim != 1 or array.size == 0 or N not in (None, array.size):
        raise ValueError(f"expected weights of shape ({'N' if N is None else N},), got {array.shape}")
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if bad.size:
        raise ValueError(f"weights must be finite and at least 0, got {array[bad[0]]} at index {bad[0]}")
    if not array.any():
        raise ValueError("expected weights that are not all 0: nothing would count")
    return array


def relative_weights(weights: npt.ArrayLike, N: int, dtype: npt.DTypeLike) -> Array:
    """Return weights with a largest of 1, which change no weighted mean and fit into any dtype, or raise ValueError."""
    array = checked_weights(weights, N)
    relative: Array = (array / array.max()).astype(dtype)
    return relative
