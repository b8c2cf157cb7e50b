"""What is each column of the table worth? What is lost when its values are dealt out anew, at random.

A network that relies on a column gets worse when each row has some other row's value there; one that does not use it
does not (Breiman 2001, "Random forests"). Nothing is trained again. Of two columns that say the same, each may be worth
little, since the other one still says it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minnet.data.columns import Column
from minnet.support import expect
from minnet.support.stack import Array
from minnet.support.text import one_line, table

SHOWN = 30  # columns in a table


class Importance(NamedTuple):
    """What a column is worth.

    Attributes
    ----------
    name : str
        The column.
    mean, deviation : float
        By how much the accuracy falls when its values are permuted: the mean over repeats, and the standard deviation.
        Below 0 if it happened to rise.
    """

    name: str
    mean: float
    deviation: float


def importances(
    predict: Callable[[Sequence[Column]], Array],
    columns: Sequence[Column],
    t: Array,
    repeats: int = 10,
    seed: int = 0,
) -> list[Importance]:
    """Permute one column at a time, and tell by how much the accuracy falls.

    Parameters
    ----------
    predict : callable
        Gives class numbers (N,) for columns of N rows.
    columns : sequence of Column
        Of samples that were not trained on. What a network makes of one column, such as a feature for each category,
        moves together.
    t : array of shape (N,)
        The samples' class numbers.
    repeats : int, default 10
        How many permutations; each column has the same ones.
    seed : int, default 0
        Determines them.

    Returns
    -------
    list of Importance
        The column that is worth the most first.

    Raises
    ------
    ValueError
        If ``repeats`` or ``seed`` is not an integer within bounds.
    """
    rng = np.random.default_rng(expect.integer("importances seed", seed, 0))
    orders = [rng.permutation(len(t)) for _ in range(expect.integer("importances repeats", repeats))]

    def accuracy(columns: Sequence[Column]) -> float:
        return float(np.mean(predict(columns) == t))

    whole, found = accuracy(columns), []
    for place, column in enumerate(columns):
        before, after = columns[:place], columns[place + 1 :]
        drops = [whole - accuracy([*before, column.take(order), *after]) for order in orders]
        found.append(Importance(column.name, float(np.mean(drops)), float(np.std(drops))))
    return sorted(found, key=lambda each: -each.mean)


def describe_importances(found: Sequence[Importance]) -> list[str]:
    """Say what columns are worth, in a table."""
    rows = [["column", "accuracy lost when it is permuted"]]
    rows += [[one_line(each.name, 60), f"{each.mean:.4f} ± {each.deviation:.4f}"] for each in found[:SHOWN]]
    more = [f"and {len(found) - SHOWN} more, which are worth less"] if len(found) > SHOWN else []
    return [*table(rows), *more]
