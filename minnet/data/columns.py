"""Is a column of a table numbers, dates or categories, and what are its values?"""

from typing import NamedTuple

import numpy as np

from minnet.support.stack import Array


class Column(NamedTuple):
    """A column of a table as its source gives it, of which nothing is learned yet.

    Attributes
    ----------
    name : str
        What it is called.
    values : array of shape (N,)
        Of numbers and dates float64, NaN where a cell is missing; a date is the days since 1970-01-01. Of categories
        int64: which of the words a cell holds, −1 where it is missing.
    words : tuple of str, or None
        The categories that occur, each once; None of numbers and dates.
    date : bool
        Whether the numbers are dates.
    """

    name: str
    values: Array
    words: tuple[str, ...] | None = None
    date: bool = False

    @property
    def missing(self) -> Array:
        """Tell which cells are missing: an array of shape (N,)."""
        return np.isnan(self.values) if self.words is None else self.values < 0

    def take(self, rows: Array) -> "Column":
        """Give the same column of some of the rows."""
        return self._replace(values=self.values.take(rows))
