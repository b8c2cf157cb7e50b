"""How good are predictions where classes are uneven? Figures in which each class counts the same."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minnet.support.stack import Array, plain

MONITORS = ("loss", "accuracy", "balanced_accuracy", "f1")  # what is known of a split, in this order
UNEVEN = 1.5  # classes are, where the largest has more samples than so many times the smallest


def class_scores(predicted: Array, t: Array, K: int) -> tuple[Array, Array]:
    """Compute balanced accuracy and macro F1, the means of recall and F1 over the classes that occur in the targets.

    Parameters
    ----------
    predicted : array of shape (..., N)
        Class numbers predicted; with leading axes those of a stack of networks.
    t : array of shape (N,) or (..., N)
        The right ones.
    K : int
        The number of classes.

    Returns
    -------
    balanced_accuracy, f1 : arrays of shape (...)
        As scikit-learn's ``balanced_accuracy_score`` and ``f1_score(average="macro", zero_division=0)`` give them for
        the classes that occur.
    """
    stack = predicted.shape[:-1]
    bins = K * math.prod(stack)
    first = np.arange(0, bins, K).reshape(*stack, 1)  # each network counts in bins of its own

    def count(classes: Array) -> Array:
        return np.bincount(classes.ravel(), minlength=bins).reshape(*stack, K)

    right = predicted == t
    t = first + t
    there = count(t)
    said = count(first + predicted)
    hits = count(t[right])
    occurring = np.count_nonzero(there, axis=-1)
    recall = hits / np.maximum(there, 1)
    f1 = 2 * hits / np.maximum(there + said, 1)  # 0 for a class that does not occur, which has no hits
    return recall.sum(axis=-1) / occurring, f1.sum(axis=-1) / occurring


def area_under_roc(t: Array, y: Array) -> Any:
    """Compute the area under the ROC curve, of two classes: a float, or an array of shape (S,) for a stack.

    It is the probability that of two samples, one of each class, the one of the second class gets more of it.

    Parameters
    ----------
    t : array of shape (N,)
        Class numbers, 0 and 1.
    y : array of shape (..., N, 2)
        The probabilities of both classes; NaN of a network that diverged, whose area is NaN, too.
    """
    from sklearn.metrics import roc_auc_score

    areas = np.full(y.shape[:-2], np.nan)
    for s in np.ndindex(areas.shape):
        second = y[*s, :, 1]
        if np.isfinite(second).all():
            areas[s] = roc_auc_score(t, second)
    return plain(areas)


def named(values: Sequence[Any], t: Array, y: Array) -> dict[str, Any]:
    """Name the values of a score, and add the "auc" where there are two classes, by targets (N,) and probabilities."""
    figures = dict(zip(MONITORS, values, strict=True))
    if y.shape[-1] == 2 and len(np.unique(t)) == 2:
        figures["auc"] = area_under_roc(t, y)
    return figures


def uneven(counts: Array) -> bool:
    """Tell whether accuracy says little because one class has many more samples than another."""
    return bool(counts.max() > UNEVEN * counts.min())
