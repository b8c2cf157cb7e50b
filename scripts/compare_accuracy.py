"""Is minnet as accurate as scikit-learn? Test accuracy with the same settings, mean over seeds 0-9, same splits."""

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from minnet import SGD, Linear, Network, ReLU, evaluate, load_dataset, train
from minnet.data.named import DATASETS

HIDDEN, EPOCHS, BATCH_SIZE, LR, MOMENTUM = 64, 50, 32, 0.05, 0.9

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("datasets", nargs="*", metavar="DATASET", help="by default all built-in ones")
parser.add_argument("--seeds", type=int, default=10, help="how many (default 10)")
arguments = parser.parse_args()

print(f"{'data set':<15}{'minnet':>9}{'scikit-learn':>14}{'difference':>12}")
for name in arguments.datasets or DATASETS:
    ours, theirs = [], []
    for seed in range(arguments.seeds):
        dataset = load_dataset(name, seed)
        network = Network([Linear(dataset.D, HIDDEN), ReLU(), Linear(HIDDEN, dataset.K)], seed=seed)
        train(network, SGD(LR, MOMENTUM), dataset, EPOCHS, BATCH_SIZE)
        ours.append(evaluate(network, *dataset.test)[1])
        classifier = MLPClassifier(
            [HIDDEN], solver="sgd", alpha=0, batch_size=BATCH_SIZE, learning_rate_init=LR, momentum=MOMENTUM,
            nesterovs_momentum=False, max_iter=EPOCHS, tol=0, n_iter_no_change=EPOCHS, random_state=seed,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            theirs.append(classifier.fit(*dataset.train).score(*dataset.test))
    print(
        f"{name:<15}{np.mean(ours):>9.4f}{np.mean(theirs):>14.4f}{np.mean(ours) - np.mean(theirs):>+12.4f}", flush=True
    )
