"""Train on digits with a training loop of one's own, after proving that its gradients are right."""

import numpy as np

from minnet import SGD, Linear, Network, ReLU, check_gradients, evaluate, load_dataset

BATCH_SIZE = 32

dataset = load_dataset("digits", seed=0)
network = Network([Linear(64, 64), ReLU(), Linear(64, 10)], seed=0)
optimizer = SGD(lr=0.05, momentum=0.9)
x, t = dataset.train

check = check_gradients(network, x[:16], t[:16])
print(f"largest error of {network.theta.size} gradients: {check.error:.1e}")

order = np.random.default_rng(0)
for epoch in range(1, 11):
    shuffled = order.permutation(len(x))
    for start in range(0, len(x), BATCH_SIZE):
        rows = shuffled[start : start + BATCH_SIZE]
        network.forward(x[rows], t[rows])
        network.backward()
        optimizer.step(network)
    loss, accuracy = evaluate(network, *dataset.validation)
    print(f"epoch {epoch:2}  validation loss {loss:.4f}  accuracy {accuracy:.4f}")

print(f"test accuracy {evaluate(network, *dataset.test)[1]:.4f}")
