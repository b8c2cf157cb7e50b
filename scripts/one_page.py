"""The whole of minnet on one page: what ``minnet train digits`` computes, to the byte, in plain NumPy.

Two linear layers with ReLU between them and softmax-cross-entropy at the end, trained by stochastic gradient descent
with momentum; and the proof that the gradient is right. Nothing comes from minnet but the data, standardised digits.
"""

import numpy as np

from minnet import load_dataset

D, H, K = 64, 64, 10  # input features, hidden units, classes
EPOCHS, BATCH_SIZE, LR, MOMENTUM, SEED = 50, 32, 0.05, 0.9, 0
WEIGHTS, ORDER = 0, 1  # streams of random numbers


def random_numbers(*stream):
    """Return the generator of a stream."""
    return np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=stream))


def split(theta):
    """Give the parameters W1, b1, W2, b2 as views into one flat vector, the last axis of theta."""
    stack, start = theta.shape[:-1], 0
    for shape in ((D, H), (1, H), (H, K), (1, K)):
        stop = start + shape[0] * shape[1]
        yield theta[..., start:stop].reshape(*stack, *shape)
        start = stop


def forward(theta, x, t):
    """C(theta): the mean over the batch of −log y of the right class; and what backward needs."""
    W1, b1, W2, b2 = split(theta)
    z1 = x @ W1 + b1
    a1 = np.maximum(z1, 0)
    z2 = a1 @ W2 + b2
    shifted = z2 - z2.max(axis=-1, keepdims=True)  # no exponential overflows
    log_y = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -(t * log_y).sum(axis=(-2, -1)) / len(x), (z1, a1, np.exp(log_y))


def backward(theta, dtheta, x, t, remembered):
    """∇C(theta), by the chain rule from the loss back to the input; it begins with y − t."""
    (_, _, W2, _), (dW1, db1, dW2, db2) = split(theta), split(dtheta)
    z1, a1, y = remembered
    dz2 = (y - t) / len(x)
    np.matmul(a1.mT, dz2, out=dW2)
    dz2.sum(axis=-2, keepdims=True, out=db2)
    dz1 = dz2 @ W2.mT * (z1 > 0)
    np.matmul(x.mT, dz1, out=dW1)
    dz1.sum(axis=-2, keepdims=True, out=db1)


def initial_theta():
    """Draw W so that signals keep their size on their way (He before a ReLU, Glorot at the end); b is 0."""
    theta, rng = np.zeros(D * H + H + H * K + K, np.float32), random_numbers(WEIGHTS)
    W1, _, W2, _ = split(theta)
    W1[...] = rng.normal(0, np.sqrt(2 / max(D, H)), W1.shape)
    r = np.sqrt(6 / (H + K))
    W2[...] = rng.uniform(-r, r, W2.shape)
    return theta


def train(theta, x, t):
    """Go through the samples in a new order each epoch, and step down the gradient of each batch."""
    dtheta, velocity = np.zeros_like(theta), np.zeros_like(theta)
    for epoch in range(EPOCHS):
        order = random_numbers(ORDER, epoch).permutation(len(x))
        for start in range(0, len(x), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            _, remembered = forward(theta, x[rows], t[rows])
            backward(theta, dtheta, x[rows], t[rows], remembered)
            velocity *= MOMENTUM
            velocity += dtheta
            theta -= LR * velocity


def gradient_error(theta, x, t):
    """Compare dtheta with imag C(θ + ih e_k)/h, which is exact, for every 50th entry k: a stack of networks at once."""
    theta, dtheta = theta.astype(np.float64), np.zeros(theta.size)
    backward(theta, dtheta, x, t, forward(theta, x, t)[1])
    entries = np.arange(0, theta.size, 50)
    stack = theta + 1e-30j * np.eye(theta.size)[entries]
    numeric = forward(stack, x, t)[0].imag / 1e-30
    return np.abs(dtheta[entries] - numeric).max() / np.abs(numeric).max()


def main():
    """Train, and print the accuracy on samples that were not trained on; return theta."""
    data = load_dataset("digits")
    theta, t = initial_theta(), np.eye(K, dtype=np.float32)[data.train.t]
    print(f"largest error of a gradient  {gradient_error(theta, data.train.x[:8], t[:8]):.1e}")
    train(theta, data.train.x, t)
    W1, b1, W2, b2 = split(theta)
    predicted = (np.maximum(data.test.x @ W1 + b1, 0) @ W2 + b2).argmax(axis=-1)
    print(f"test accuracy                {(predicted == data.test.t).mean():.4f}")
    return theta


if __name__ == "__main__":
    main()
