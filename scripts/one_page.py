"""The whole of minnet on one page: what ``minnet train digits`` computes, to the byte, in plain NumPy.

Two linear layers with ReLU between them and softmax-cross-entropy at the end, trained by stochastic gradient descent
with momentum, weight decay and a falling rate; and the proof that the gradient is right. Only data come from minnet.
"""

import numpy as np

from minnet import load_dataset

D, H, K = 64, 64, 10  # input features, hidden units, classes
EPOCHS, BATCH_SIZE, LR, MOMENTUM, DECAY, SEED = 50, 32, 0.05, 0.9, 0.0005, 0
WEIGHTS, ORDER = 0, 1  # streams of random numbers


def random_numbers(*stream):
    """Return the generator of a stream."""
    return np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=stream))


def split(theta):
    """Give the parameters W1, b1, W2, b2 as views into one flat vector, the last axis of theta."""
    parts, stack = np.split(theta, np.cumsum([D * H, H, H * K]), axis=-1), theta.shape[:-1]
    shapes = (D, H), (1, H), (H, K), (1, K)
    return [part.reshape(*stack, *shape) for part, shape in zip(parts, shapes, strict=True)]


def forward(theta, x, t):
    """C(theta): the mean over the batch of −log y of the right class; and what backward needs."""
    W1, b1, W2, b2 = split(theta)
    z1 = x @ W1 + b1
    a1 = np.maximum(z1, 0)
    z2 = a1 @ W2 + b2
    shifted = z2 - z2.max(axis=-1, keepdims=True)  # no exponential overflows
    log_y = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -(t * log_y).sum(axis=(-2, -1)) / len(x), (z1, a1, np.exp(log_y))


def backward(theta, dtheta, x, t):
    """∇C(theta): forward, then by the chain rule from the loss back to the input; that way begins with y − t."""
    (_, _, W2, _), (dW1, db1, dW2, db2) = split(theta), split(dtheta)
    _, (z1, a1, y) = forward(theta, x, t)
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


def train(theta, x, t, validation):
    """Step down the gradient, epoch by epoch in a new order; return the theta with the lowest validation loss."""
    dtheta, velocity, thetas = np.zeros_like(theta), np.zeros_like(theta), []
    decays = theta != 0  # the weights, which the penalty ½ λ Σ W² keeps small; not the biases, which begin at 0
    i = np.arange(EPOCHS * -(-len(x) // BATCH_SIZE))  # the steps
    factors = 0.5 * (1 + np.cos(np.pi * i / len(i)))  # half a cosine, from 1 down to 0
    rates = iter((LR * factors).tolist())
    for epoch in range(EPOCHS):  # `minnet train` stops 20 epochs after the best, which here are never over
        order = random_numbers(ORDER, epoch).permutation(len(x))
        for start in range(0, len(x), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            backward(theta, dtheta, x[rows], t[rows])
            velocity = MOMENTUM * velocity + (dtheta + DECAY * (decays * theta))
            theta -= next(rates) * velocity
        thetas.append(theta.copy())
    return min(thetas, key=lambda theta: forward(theta, *validation)[0])


def gradient_error(theta, x, t):
    """Compare dtheta with imag C(θ + ih e_k)/h, which is exact, for every 50th entry k: a stack of networks at once."""
    theta, dtheta = theta.astype(np.float64), np.zeros(theta.size)
    backward(theta, dtheta, x, t)
    stack = theta + 1e-30j * np.eye(theta.size)[::50]
    numeric = forward(stack, x, t)[0].imag / 1e-30
    return np.abs(dtheta[::50] - numeric).max() / np.abs(numeric).max()


def main():
    """Train, and print the accuracy on samples that were not trained on; return theta."""
    data, one_hot = load_dataset("digits"), np.eye(K, dtype=np.float32)
    (x, t), validation, test = ((x, one_hot[t]) for x, t in (data.train, data.validation, data.test))
    print(f"largest error of a gradient  {gradient_error(initial_theta(), x[:8], t[:8]):.1e}")
    theta = train(initial_theta(), x, t, validation)
    _, (_, _, y) = forward(theta, *test)
    print(f"test accuracy                {(y.argmax(axis=-1) == data.test.t).mean():.4f}")
    return theta


if __name__ == "__main__":
    main()
