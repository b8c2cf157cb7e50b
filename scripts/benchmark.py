"""How fast is a training step? minnet and scikit-learn's MLPClassifier on the same work, in turns, medians and ratios.

Before anything is timed, both compute the loss of the same weights on the same batch, and their losses and their
weights after five steps must agree; a contender that computes something else is not timed.
"""

import argparse
import itertools
import json
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from minnet import SGD, Linear, Network, ReLU
from minnet.layers import Layer
from minnet.network import random_streams
from minnet.output import target_rows
from minnet.training import train_epoch

WORKLOADS = {  # widths, batch size, rows
    "iris": ([4, 16, 3], 16, 105),
    "softreg": ([64, 10], 32, 1257),
    "digits": ([64, 64, 10], 32, 1257),
}
LR, MOMENTUM = 0.01, 0.9


def make_network(widths: list[int]) -> Network:
    """Make the network of a workload, in float32."""
    layers: list[Layer] = []
    for D, H in itertools.pairwise(widths):
        layers += [Linear(D, H), ReLU()]
    return Network(layers[:-1])


def make_classifier(widths: list[int], batch_size: int, epochs: int) -> MLPClassifier:
    """Make scikit-learn's counterpart; no stopping rule ends it early."""
    return MLPClassifier(
        widths[1:-1], solver="sgd", alpha=0, batch_size=batch_size, learning_rate_init=LR, momentum=MOMENTUM,
        nesterovs_momentum=False, max_iter=epochs, tol=0, n_iter_no_change=epochs, random_state=0,
    )  # fmt: skip


def check_agreement(widths: list[int], batch_size: int, x: np.ndarray, labels: np.ndarray) -> float:
    """Return the largest difference in loss and weights over five steps from the same start; raise if it matters."""
    x, labels = x[:batch_size], labels[:batch_size]
    classifier = make_classifier(widths, batch_size, 1)
    classifier.partial_fit(x, labels, classes=range(widths[-1]))  # makes its weights; what follows starts from them
    for velocity in classifier._optimizer.velocities:
        velocity[...] = 0
    network, optimizer = make_network(widths), SGD(LR, MOMENTUM)
    linears = [layer for layer in network.layers if isinstance(layer, Linear)]
    for layer, W, b in zip(linears, classifier.coefs_, classifier.intercepts_, strict=True):
        layer.W[...], layer.b[...] = W, b
    difference = 0.0
    for _ in range(5):
        loss = float(network.forward(x, labels))
        network.backward()
        optimizer.step(network)
        classifier.partial_fit(x, labels)
        difference = max(difference, abs(loss - classifier.loss_))
    for layer, W, b in zip(linears, classifier.coefs_, classifier.intercepts_, strict=True):
        difference = max(difference, np.abs(layer.W - W).max(), np.abs(layer.b - b).max())
    if difference > 1e-4:
        raise SystemExit(f"not timed: minnet and scikit-learn compute different things (by {difference:.1e})")
    return difference


def compare(workload: str, rounds: int, epochs: int) -> dict[str, float]:
    """Time both on one workload, in turns; return the medians in µs a step and their ratio with its spread."""
    widths, batch_size, rows = WORKLOADS[workload]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, widths[0])).astype(np.float32)
    labels = rng.integers(widths[-1], size=rows)
    difference = check_agreement(widths, batch_size, x, labels)
    steps = epochs * -(-rows // batch_size)

    def minnet() -> None:
        network, optimizer, orders = make_network(widths), SGD(LR, MOMENTUM), [random_streams(0).order]
        t = target_rows(labels, widths[-1], np.float32)
        for _ in range(epochs):
            train_epoch(network, optimizer, x, t, batch_size, orders)

    def scikit_learn() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            make_classifier(widths, batch_size, epochs).fit(x, labels)

    def microseconds_a_step(contender: Callable[[], None]) -> float:
        started = time.perf_counter()
        contender()
        return (time.perf_counter() - started) / steps * 1e6

    for contender in (minnet, scikit_learn):
        contender()  # warm up
    times = [(microseconds_a_step(minnet), microseconds_a_step(scikit_learn)) for _ in range(rounds)]
    ratios = [ours / theirs for ours, theirs in times]
    return {
        "minnet_us": statistics.median(ours for ours, _ in times),
        "scikit_learn_us": statistics.median(theirs for _, theirs in times),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "difference": float(difference),
    }


def main() -> None:
    """Run the workloads asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=list(WORKLOADS), action="append", help="by default all")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender (default 7)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs a turn (default 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if min(arguments.rounds, arguments.epochs) < 1:
        parser.error("expected --rounds and --epochs of at least 1")
    if not arguments.json:
        print(f"{'workload':<10}{'minnet':>12}{'scikit-learn':>15}{'ratio':>8}   spread")
    results = {}
    for workload in arguments.workload or WORKLOADS:
        results[workload] = figures = compare(workload, arguments.rounds, arguments.epochs)
        if not arguments.json:
            ours, theirs = f"{figures['minnet_us']:.1f} µs", f"{figures['scikit_learn_us']:.1f} µs"
            spread = f"{figures['ratio_min']:.2f} to {figures['ratio_max']:.2f}"
            print(f"{workload:<10}{ours:>12}{theirs:>15}{figures['ratio']:>8.2f}   {spread}")
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
