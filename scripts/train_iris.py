"""Train a network on iris, the shortest way: data, network, optimizer, train, evaluate."""

from minnet import SGD, Linear, Network, Tanh, evaluate, load_dataset, train

dataset = load_dataset("iris", seed=0)
network = Network([Linear(4, 16), Tanh(), Linear(16, 3)], seed=0)
print(network)

history = train(network, SGD(lr=0.05, momentum=0.9), dataset, epochs=50, batch_size=16)
loss, accuracy = evaluate(network, *dataset.test)
losses = history.train_loss
print(f"training loss   {losses[0]:.4f} after one epoch, {losses[-1]:.4f} after {len(losses)}")
print(f"test accuracy   {accuracy:.4f}")

for x, t in list(zip(*dataset.test, strict=True))[:3]:
    y = network.predict_proba(x[None])[0]
    print(
        "  ".join(f"{name} {p:.3f}" for name, p in zip(dataset.class_names, y, strict=True)),
        "| is",
        dataset.class_names[t],
    )
