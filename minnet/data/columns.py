"""Is a column of a table numbers, dates or categories, and what are its values?"""

import contextlib
import math
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from minnet.support.stack import Array

MISSING = {"", "na", "n/a", "nan", "nat", "null", "none", "?"}  # what a cell says that has no value, in any case
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)  # a number, of which none is taken
DATE = re.compile(
    r"[0-9]{4}(-[0-9]{2}-|/[0-9]{2}/)[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
TRUTH = {"true": 1.0, "false": 0.0}
EPOCH, DAY = datetime(1970, 1, 1, tzinfo=UTC), timedelta(days=1)


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
    def kind(self) -> str:
        """What the cells are: "number", "date" or "category"."""
        if self.words is not None:
            return "category"
        return "date" if self.date else "number"

    @property
    def missing(self) -> Array:
        """Tell which cells are missing: an array of shape (N,)."""
        return np.isnan(self.values) if self.words is None else self.values < 0

    def take(self, rows: Array) -> "Column":
        """Give the same column of some of the rows."""
        return self._replace(values=self.values.take(rows))

    def texts(self) -> list[str]:
        """Give the text of each cell of categories; an empty one where it is missing."""
        words = [*(self.words or ()), ""]  # the last is number −1
        return [words[k] for k in self.values.tolist()]


class Source:
    """Where columns come from.

    Attributes
    ----------
    path : str
        What it is called in messages.
    names : list of str
        Its columns.
    n_rows : int
        How many rows it has, or more.
    hidden : collection of str
        The columns that are used only where they are asked for.
    categories : collection of str
        The columns that hold categories whatever they look like.
    notes : list of str
        What was done to read it, in short clauses.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.names: list[str] = []
        self.n_rows = 0
        self.hidden: Collection[str] = ()
        self.categories: Collection[str] = ()
        self.notes: list[str] = []

    def load(self, names: Sequence[str], texts: Collection[str]) -> list[Column]:
        """Read columns: those of texts, and what is no number or date, as words that say what the cells say."""
        raise NotImplementedError

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a cell: where it is, and what it says."""
        raise NotImplementedError

    def refuse(self, name: str, wrong: Array, expected: str, remedy: str) -> None:
        """Raise ValueError that names the first of the cells (N,) that are wrong, says how many are, and what to do."""
        place, cell = self.cell(name, int(wrong.argmax()))
        others = int(wrong.sum()) - 1
        more = f" (and {others} more such cell{'s' * (others > 1)})" if others else ""
        raise ValueError(f"{place}: expected {expected}, got {cell!r:.60}{more}; {remedy}")


def of_texts(name: str, cells: Sequence[str]) -> Column:
    """Make a column of cells of text, each text once among its words, as it is."""
    number = {cell: k for k, cell in enumerate(dict.fromkeys(cells))}
    return Column(name, np.fromiter(map(number.__getitem__, cells), np.int64, len(cells)), tuple(number))


def of_array(name: str, array: Array, text: bool = False) -> Column:
    """Make a column of an array (N,) of numbers, truths, texts or days as ``datetime64``; as text if that is wanted."""
    if text or array.dtype.kind in "bU":
        different, codes = np.unique(array, return_inverse=True)
        words = ["" if value != value else str(value) for value in different.tolist()]
        return Column(name, codes.astype(np.int64), tuple(words))
    with np.errstate(over="ignore"):
        return Column(name, array.astype(np.float64))


def label_text(value: Any) -> str:
    """Make text of a label, the same in every format: "1" of 1, of 1.0 and of their texts; "" of none."""
    text = str(value).strip()
    is_float = NUMBER.fullmatch(text) and not text.lstrip("+-").isdigit()
    number = float(text) if is_float else math.nan
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else text


def category_text(value: str) -> str:
    """Make text of a category as `label_text` does, that of true and false in small letters, as formats differ."""
    text = label_text(value)
    return text.lower() if text.lower() in TRUTH else text


def is_missing(word: str) -> bool:
    """Tell whether a cell says that it has no value."""
    return word.strip().lower() in MISSING


def to_numbers(cells: Sequence[str]) -> Array | None:
    """Convert cells to numbers, nan where one is missing and infinite where it is too large; None if one is a word."""
    text = "".join(cells)
    if "_" in text or not text.isascii():  # float takes what is no number: 1_0, or digits of other scripts
        return None
    for _ in range(2):
        with contextlib.suppress(ValueError):
            return np.array([*map(float, cells)])
        cells = ["nan" if is_missing(cell) else cell for cell in cells]
    return None


def to_number(word: str) -> float | None:
    """Convert a word to a number, or give None if it is none."""
    word = word.strip()
    return float(word) if NUMBER.fullmatch(word) or INFINITE.fullmatch(word) else None


def to_number_or_truth(word: str) -> float | None:
    """Convert a word to a number, true to 1 and false to 0, or give None."""
    return TRUTH.get(word.strip().lower(), to_number(word))


def to_days(word: str) -> float | None:
    """Convert a date as of ISO 8601, or with slashes, to days since 1970-01-01 in UTC, or give None."""
    word = word.strip()
    if not DATE.fullmatch(word):
        return None
    try:
        when = datetime.fromisoformat(word.replace("/", "-"))
    except ValueError:  # of no such day
        return None
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - EPOCH) / DAY


def converted(column: Column, convert: Callable[[str], float | None]) -> tuple[Column, Array]:
    """Convert a column of words to numbers, each word once.

    Returns
    -------
    Column
        Of numbers, NaN where a cell is missing or was not converted.
    array of shape (N,)
        Which cells are neither missing nor converted.
    """
    found = [math.nan if is_missing(word) else convert(word) for word in column.words or ()]
    wrong = np.array([*(number is None for number in found), False])
    numbers = np.array([*(math.nan if number is None else number for number in found), math.nan])
    values = numbers[column.values]
    return Column(column.name, values, date=convert is to_days), wrong[column.values]


def categories(column: Column) -> Column:
    """Make a column of categories of one of words as they are: one of words that say the same."""
    texts = ["" if is_missing(word) else category_text(word) for word in column.words or ()]
    words = sorted({*texts} - {""})
    number = {word: k for k, word in enumerate(words)} | {"": -1}
    codes = np.array([*(number[text] for text in texts), -1], dtype=np.int64)
    return Column(column.name, codes[column.values], tuple(words))
