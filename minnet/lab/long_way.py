"""How does y − t come about, if softmax and cross-entropy are two steps? Each by itself, forward and backward.

Their backward passes, one after the other, arrive at the (y − t)/N of `minnet.output.SoftmaxCrossEntropy` by way of
the whole Jacobian. They are to be looked at, not to train with: where a probability is rounded to 0, log y and t/y are
not finite, which is one more reason to take the two steps at once.
"""

import numpy as np

from minnet.layers import Array, Layer


class Softmax(Layer):
    """The output layer's activation by itself: y_i = e^(z_i) / Σ_k e^(z_k).

    Attributes
    ----------
    y : array of shape (..., N, K)
        The probabilities of the last ``forward``.
    """

    def forward(self, z: Array) -> Array:
        """y = softmax(z), over the last axis, for z of shape (..., N, K) (eq. 1, shifted as in eq. 11a)."""
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        y: Array = e / e.sum(axis=-1, keepdims=True)
        self.y = y
        return y

    @property
    def jacobian(self) -> Array:
        """∂y_k/∂z_i = y_k (1{k = i} − y_i) at [..., n, k, i], of shape (..., N, K, K) (eqs. 5, 6, 7, 7a)."""
        y = self.y
        y_k, y_i = y[..., :, np.newaxis], y[..., np.newaxis, :]
        same = np.eye(y.shape[-1], dtype=y.dtype)
        jacobian: Array = y_k * (same - y_i)
        return jacobian

    def backward(self, dy: Array) -> Array:
        """dz_i = Σ_k dy_k ∂y_k/∂z_i: each sample's row dy times its Jacobian (eqs. 2b, 7a, 8, 9b)."""
        dz: Array = dy[..., np.newaxis, :] @ self.jacobian
        return dz[..., 0, :]


class CrossEntropy:
    """The loss of probabilities by itself: C = −(1/N) Σ_n Σ_k t_nk log y_nk.

    Attributes
    ----------
    y, t : array of shape (..., N, K)
        Probabilities and targets of the last ``forward``.
    losses : array of shape (..., N)
        The loss of each sample, in nats.
    """

    y: Array
    t: Array
    losses: Array

    def forward(self, y: Array, t: Array) -> Array:
        """C, the mean of the losses −Σ_k t_k log y_k (eq. 2), of shape (...), for y and t of shape (..., N, K)."""
        self.y, self.t = y, t
        self.losses = -(t * np.log(y)).sum(axis=-1)
        loss: Array = self.losses.mean(axis=-1)
        return loss

    def backward(self) -> Array:
        """dy_k = −t_k / y_k / N, of shape (..., N, K): t_k stays outside, log y_k becomes 1/y_k (eqs. 3, 4)."""
        N = self.y.shape[-2]
        dy: Array = -self.t / self.y / N
        return dy


class LogSumExp:
    """Both steps in two lines, with no Jacobian: C = log Σ_k e^(z_k) − Σ_k t_k z_k, of which the derivative is y − t.

    It stands for a network's output layer, as `minnet.output.SoftmaxCrossEntropy` does.
    """

    def forward(self, z: Array, t: Array) -> Array:
        """C, of shape (...), for z and t of shape (..., N, K) (eq. 9a, shifted as in eq. 11a)."""
        self.z, self.t = z - z.max(axis=-1, keepdims=True), t
        log_sum = np.log(np.exp(self.z).sum(axis=-1))
        loss: Array = (log_sum - (t * self.z).sum(axis=-1)).mean(axis=-1)
        return loss

    def backward(self) -> Array:
        """dz = (e^z / Σ e^z − t)/N = (y − t)/N, of shape (..., N, K) (eq. 9a)."""
        e = np.exp(self.z)
        y = e / e.sum(axis=-1, keepdims=True)
        dz: Array = (y - self.t) / y.shape[-2]
        return dz
