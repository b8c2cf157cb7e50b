"""Is minnet as good as scikit-learn on tables? Accuracy and log loss on the same test rows, means over seeds 0-9.

Three classifiers learn from the same training rows of each split: minnet as `minnet train` does by default;
scikit-learn's MLPClassifier with the same hidden layer, epochs, rate, momentum and batch size; and the same with
scikit-learn's own defaults. Words are one-hot there, missing numbers medians, and numbers standardised. All have the
same columns: those that minnet uses. Validation rows choose the epoch for minnet only, and scikit-learn has no use for
them: neither learns from them.
"""

import argparse
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from minnet import Dataset, evaluate
from minnet.data.named import load_raw
from minnet.data.splits import Rows, split_rows
from minnet.data.table import Table
from minnet.data.tables import read_table
from minnet.runs.build import make_training
from minnet.runs.config import Config

CONFIG = Config()  # the defaults
SAME = {
    "hidden_layer_sizes": CONFIG.hidden, "solver": "sgd", "batch_size": CONFIG.batch_size,
    "alpha": CONFIG.weight_decay * CONFIG.batch_size,  # scikit-learn divides it by the samples of a batch

    "learning_rate_init": CONFIG.learning_rate, "momentum": CONFIG.momentum, "nesterovs_momentum": False,
    "max_iter": CONFIG.epochs, "tol": 0, "n_iter_no_change": CONFIG.epochs,
}  # fmt: skip
DEFAULT = ("data/penguins.csv:species", "data/iris.csv:species", "wine", "breast_cancer", "digits", "moons")


def read(name: str) -> Table:
    """Read FILE:TARGET, or load a data set by name."""
    file, colon, target = name.rpartition(":")
    return read_table(file, target) if colon else load_raw(name)


def minnets(dataset: Dataset, seed: int) -> tuple[float, float]:
    """Train minnet's network: accuracy and loss on the test rows."""
    training = make_training([replace(CONFIG, seed=seed)], [dataset], stacked=False)
    training.run()
    training.keep()
    loss, accuracy = evaluate(training.network, *dataset.test)
    return accuracy, loss


def scikit_learns(
    table: Table, rows: Rows, dataset: Dataset, seed: int, settings: Mapping[str, Any]
) -> tuple[float, float]:
    """Train scikit-learn's pipeline on the same rows: accuracy and loss on the test rows."""
    used = {name for name, _ in dataset.preprocessing.kinds}
    columns = [column for column in table.columns if column.name in used]
    cells = [column.values if column.words is None else column.texts() for column in columns]
    x = np.column_stack([np.array(each, object) for each in cells])
    numbers = [d for d, column in enumerate(columns) if column.words is None]
    words = [d for d, column in enumerate(columns) if column.words is not None]
    number, word = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), OneHotEncoder
    encoders = [("numbers", number, numbers), ("words", word(handle_unknown="ignore", sparse_output=False), words)]
    pipeline = make_pipeline(ColumnTransformer(encoders), MLPClassifier(random_state=seed, **settings))
    learned, test, t = rows["train"], rows["test"], np.asarray(table.t)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(x[learned], t[learned])
    y = pipeline.predict_proba(x[test])
    return np.mean(y.argmax(axis=1) == t[test]), log_loss(t[test], y, labels=range(dataset.K))


def compare(name: str, seeds: int) -> str:
    """Train all three on the splits of several seeds: a line of the table."""
    table, scores = read(name), list[list[tuple[float, float]]]()
    t = np.asarray(table.t)
    for seed in range(seeds):
        rows = split_rows(t, seed, 0.15, 0.15)
        dataset = Dataset.of_rows(table, rows)
        theirs = [scikit_learns(table, rows, dataset, seed, settings) for settings in (SAME, {})]
        scores.append([minnets(dataset, seed), *theirs])
    means = np.mean(scores, axis=0)
    differences = np.array([ours[0] - same[0] for ours, same, _ in scores])
    error = differences.std(ddof=1) / seeds**0.5 if seeds > 1 else 0.0
    figures = "".join(f"{accuracy:>10.4f}{loss:>8.4f}" for accuracy, loss in means)
    return (
        f"{table.name:<16.16}{len(t):>6}{len(table.class_names):>4}{figures}{differences.mean():>+9.4f} ± {error:.4f}"
    )


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("tables", nargs="*", metavar="FILE:TARGET", help="or the name of a data set; by default six")
parser.add_argument("--seeds", type=int, default=10, help="how many (default 10)")
arguments = parser.parse_args()

contenders, figures = ("minnet", "scikit-learn", "its defaults"), f"{'accuracy':>10}{'loss':>8}" * 3
print(f"{'':<26}{''.join(f'{each:>18}' for each in contenders)}{'difference':>13}")
print(f"{'table':<16}{'rows':>6}{'K':>4}{figures}{'of the first two':>18}")
for name in arguments.tables or DEFAULT:
    print(compare(name, arguments.seeds), flush=True)
