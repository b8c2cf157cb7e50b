"""Train on three arms of a spiral, and draw spiral.png: what the network believes about each point of the plane."""

from minnet import SGD, Linear, Network, ReLU, evaluate, load_dataset, train
from minnet.plots import plot_decision_boundary

dataset = load_dataset("spiral", seed=0)
network = Network([Linear(2, 64), ReLU(), Linear(64, 3)], seed=0)
train(network, SGD(lr=0.05, momentum=0.9), dataset, epochs=50, batch_size=32)
loss, accuracy = evaluate(network, *dataset.test)

names = [f"{name} (standardised)" for name in dataset.feature_names]
figure = plot_decision_boundary(network, *dataset.test, dataset.class_names, names)
figure.suptitle(f"spiral, test split: {accuracy:.1%} right")
figure.savefig("spiral.png", dpi=120)
print(f"test accuracy {accuracy:.4f}, loss {loss:.4f}; picture in spiral.png")
