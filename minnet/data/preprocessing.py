"""How do the columns of a table become the features of a network? By what was learned from its training rows alone.

A number is one feature, standardised; a category is one feature for each of its values, 0 or 1. What was learned is
data, not code: medians, values, means and scales, which a model file keeps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minnet.data.columns import Column
from minnet.support import expect
from minnet.support.machine import check_memory
from minnet.support.stack import Array
from minnet.support.text import counted, one_line, table

MOST = 50  # features of a category
SHOWN = 30  # columns in a table
UNIQUE, FEW = 0.9, 10  # share of different cells, and how many, from which words are names or keys, and no categories


@dataclass(frozen=True, eq=False)
class Standardization:
    """The map x ↦ (x − mean) / scale, by feature.

    Attributes
    ----------
    mean, scale : array of shape (D,), float64
        The training part's mean and standard deviation; the scale of a constant feature is 1.
    """

    mean: Array
    scale: Array

    @classmethod
    def of(cls, x: Array) -> Self:
        """Find the standardisation of training samples (N, D)."""
        from sklearn.preprocessing import StandardScaler

        largest = np.abs(x).max(axis=0).astype(np.float64)
        # The square of a number beyond these bounds would overflow or vanish.
        extreme = (largest > 1e100) | ((largest < 1e-100) & (largest > 0))
        unit = np.where(extreme, largest, 1)
        scaler = StandardScaler().fit(x / unit)
        return cls(scaler.mean_ * unit, scaler.scale_ * unit)

    def __call__(self, x: Array, dtype: npt.DTypeLike = np.float32) -> Array:
        """Standardise samples of shape (N, D), computing in float64 and rounding once."""
        return np.asarray((x - self.mean) / self.scale, dtype)


class Number(NamedTuple):
    """A column of numbers: a feature, and if cells were missing in training, one that is 1 where a cell is missing.

    Attributes
    ----------
    name : str
        The column.
    fill : float or None
        What a missing cell gets: the median of the training rows. None if no cell may be missing, as in arrays.
    missing : bool
        Whether there is a feature that tells which cells are missing.
    date : bool
        Whether the numbers are dates, as days since 1970-01-01.
    """

    name: str
    fill: float | None = None
    missing: bool = False
    date: bool = False

    @classmethod
    def fit(cls, column: Column) -> Self | str:
        """Learn from the training rows, or say why nothing can be learned."""
        missing = column.missing
        if missing.all():
            return "no cell has a value"
        median = float(np.median(column.values[~missing]))
        return cls(column.name, median, bool(missing.any()), column.date)

    @property
    def width(self) -> int:
        """How many features there are."""
        return 1 + self.missing

    @property
    def features(self) -> list[str]:
        """Name the features."""
        return [self.name, *[f"{self.name} is missing"] * self.missing]

    def __call__(self, column: Column) -> list[Array]:
        """Give the features of a column: arrays of shape (N,)."""
        missing = column.missing
        filled = column.values if self.fill is None else np.where(missing, self.fill, column.values)
        return [filled, *[missing] * self.missing]

    @property
    def kind(self) -> str:
        """What a cell has to hold."""
        return "date" if self.date else "number"

    @property
    def learned(self) -> str:
        """Say what was learned, but for the standardisation."""
        if self.fill is None:
            return "no cell may be missing"
        return f"median {self.fill:g}{' days since 1970' * self.date}{', missing' * self.missing}"

    def unseen(self, column: Column) -> tuple[int, str]:
        """Count the cells that are missing where none was in training, and say what they get."""
        if self.missing or self.fill is None:
            return 0, ""
        return int(column.missing.sum()), f"missing, filled with the median {self.fill:g}"


class Category(NamedTuple):
    """A column of categories: a feature for each value, or a single one for two values.

    Attributes
    ----------
    name : str
        The column.
    values : tuple of str
        Those of the training rows that have a feature, sorted.
    other : bool
        Whether there were more than `MOST`: the rarer ones, and those never seen, are then a feature together.
        Otherwise a value never seen is 0 in all features, or if there are two values, one half in the single one.
    missing : bool
        Whether there is a feature that tells which cells are missing. If none was missing in training, such a cell is
        like a value never seen.
    """

    name: str
    values: tuple[str, ...]
    other: bool = False
    missing: bool = False

    @classmethod
    def fit(cls, column: Column) -> Self | str:
        """Learn from the training rows, or say why nothing can be learned."""
        words, missing = column.words or (), bool(column.missing.any())
        present = column.values[~column.missing]
        often = dict(zip(words, np.bincount(present, minlength=len(words)).tolist(), strict=True))
        found = sorted(word for word, count in often.items() if count)
        if len(found) > max(FEW, UNIQUE * len(present)):
            return f"{len(found)} of {len(present)} cells are different"
        if len(found) + missing < 2:
            return "all cells are the same"
        other = len(found) + missing > MOST
        if other:
            found = sorted(sorted(found, key=lambda word: -often[word])[: MOST - 1 - missing])
        return cls(column.name, tuple(found), other, missing)

    @property
    def size(self) -> str:
        """Say how many values it has."""
        return f"{self.name:.30} {len(self.values)}{' and other' * self.other}{' and missing' * self.missing}"

    @property
    def kind(self) -> str:
        """What a cell has to hold."""
        return "category"

    @property
    def learned(self) -> str:
        """Say which values were learned, the first of them by name."""
        more = ["…"] if len(self.values) > 6 else []
        named = [f"{value:.20}" for value in self.values[:6]] + more
        return ", ".join([*named, *["other"] * self.other, *["missing"] * self.missing])

    @property
    def single(self) -> bool:
        """Tell whether one feature holds both values."""
        return len(self.values) == 2 and not self.other

    @property
    def width(self) -> int:
        """How many features there are."""
        return len(self.values) - self.single + self.other + self.missing

    @property
    def features(self) -> list[str]:
        """Name the features."""
        named = [f"{self.name}={value}" for value in self.values[self.single :]]
        if self.other:
            named.append(f"{self.name} is other")
        if self.missing:
            named.append(f"{self.name} is missing")
        return named

    def places(self, column: Column) -> Array:
        """Tell of each cell which of the values it holds; −1 if it is missing, K if it holds another."""
        known = {value: k for k, value in enumerate(self.values)}
        of_word = [known.get(word, len(self.values)) for word in column.words or ()]
        return np.array([*of_word, -1])[column.values]

    def __call__(self, column: Column) -> list[Array]:
        """Give the features of a column: arrays of shape (N,)."""
        places, K = self.places(column), len(self.values)
        absent = (places == K) | ((places < 0) & (not self.missing))
        each = [places == k for k in range(K)]
        if self.single:
            each = [np.where(absent, 0.5, each[1])]
        if self.other:
            each.append(absent)
        if self.missing:
            each.append(places < 0)
        return each

    def unseen(self, column: Column) -> tuple[int, str]:
        """Count the cells whose value has no feature, though it might have one, and say what they are taken for."""
        places = self.places(column)
        new = (places == len(self.values)) | ((places < 0) & (not self.missing))
        if self.other or not new.any():
            return 0, ""
        code = int(column.values[new.argmax()])
        example = "missing" if code < 0 else repr((column.words or ())[code])
        return int(new.sum()), f"never seen in training, such as {example}, taken for none of the known values"


Learned = Number | Category
KINDS = {"number": Number, "category": Category}


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """What was learned of a table's columns, to make features of the same columns of other rows.

    Attributes
    ----------
    columns : tuple of Number or Category
        What was learned of each column; together they have D features.
    standardization : Standardization
        What is done with the features then. Those that are 0 or 1 stay as they are.
    left_out : mapping of str to str
        The columns of which nothing could be learned, and why.
    """

    columns: tuple[Learned, ...]
    standardization: Standardization
    left_out: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def plain(cls, feature_names: Sequence[str], standardization: Standardization) -> Self:
        """Make that of an array, whose columns are numbers none of which is missing."""
        return cls(tuple(map(Number, feature_names)), standardization)

    @classmethod
    def fit(cls, columns: Sequence[Column]) -> Self:
        """Learn from the training rows of a table.

        Raises
        ------
        ValueError
            If nothing can be learned of any column.
        """
        found = {column.name: (Number if column.words is None else Category).fit(column) for column in columns}
        left_out = {name: why for name, why in found.items() if isinstance(why, str)}
        learned = tuple(each for each in found.values() if not isinstance(each, str))
        if not learned:
            reasons = "; ".join(f"{name!r:.60}: {why}" for name, why in left_out.items())
            raise ValueError(f"no column can be used as a feature ({reasons:.500})")
        raw = cls(learned, Standardization(np.zeros(1), np.ones(1)))
        fitted = Standardization.of(raw.features_of(columns))
        measured = np.array([name == each.name for each in learned for name in each.features])
        mean, scale = np.where(measured, fitted.mean, 0), np.where(measured, fitted.scale, 1)
        return cls(learned, Standardization(mean, scale), left_out)

    @property
    def D(self) -> int:
        """Count the features, without naming them: names that a file gives may be long."""
        return sum(each.width for each in self.columns)

    @property
    def is_plain(self) -> bool:
        """Tell whether it is that of an array: numbers, none of which may be missing."""
        return all(isinstance(each, Number) and each.fill is None for each in self.columns)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Name the D features."""
        return tuple(name for each in self.columns for name in each.features)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Give the name of each column and what it has to hold: "number", "date" or "category"."""
        return [(each.name, each.kind) for each in self.columns]

    def features_of(self, columns: Sequence[Column]) -> Array:
        """Make features of the columns, in any order and with others among them: float64 of shape (N, D)."""
        given = {column.name: column for column in columns}
        for (name, kind), each in zip(self.kinds, self.columns, strict=True):
            if name not in given:
                raise ValueError(f"there is no column {name!r:.60}, which the model was trained with")
            if (given[name].words is None) != isinstance(each, Number):
                raise TypeError(f"column {name!r:.60}: expected a {kind}, as in training")
        N = max(len(each.values) for each in given.values())
        check_memory("making features", 3 * 8 * N * self.D)
        features = [feature for each in self.columns for feature in each(given[each.name])]
        return np.ascontiguousarray(np.column_stack([np.asarray(feature, np.float64) for feature in features]))

    def __call__(self, x: Any, dtype: npt.DTypeLike = np.float32) -> Array:
        """Make standardised samples (N, D) of a sequence of `Column`, or of an array with a column of numbers for each.

        Raises
        ------
        TypeError, ValueError
            If a column is missing, or is not what it was in training.
        FloatingPointError
            If a sample is not finite.
        """
        if not is_columns(x):
            if any(isinstance(each, Category) for each in self.columns):
                names = [each.name for each in self.columns if isinstance(each, Category)]
                raise TypeError(f"the model takes a table, since {names[0]!r:.60} holds words: give it a data frame")
            x = expect.features("the model", x, len(self.columns))
            if len(self.columns) < self.D:
                x = [Column(each.name, x[:, d].astype(np.float64)) for d, each in enumerate(self.columns)]
        raw = self.features_of(x) if is_columns(x) else x
        with np.errstate(over="ignore"):  # what is not finite is said below
            return expect.finite_rows("the model's answer", self.standardization(raw, dtype))

    def unseen(self, columns: Sequence[Column]) -> dict[str, tuple[int, str]]:
        """Count in each column the cells that are not like any in training, and say what is done with them."""
        given = {column.name: column for column in columns}
        return {each.name: each.unseen(given[each.name]) for each in self.columns}

    def describe(self, columns: Array | Sequence[Column]) -> str:
        """Say in a line what was made of the columns of a table, or of an array."""
        if not is_columns(columns):
            return f"{len(self.columns)} features"
        given = {column.name: column for column in columns}
        numbers = [each for each in self.columns if isinstance(each, Number)]
        sizes = [each.size for each in self.columns if isinstance(each, Category)]
        dates = sum(each.date for each in numbers)
        missing = sum(int(given[each.name].missing.sum()) for each in numbers)
        said = []
        if numbers:
            more = [f"{dates} of them dates"] if dates else []
            if missing:
                more.append(f"{counted(missing, 'cell')} missing, filled with medians")
            said.append(counted(len(numbers), "number") + in_brackets(more))
        if sizes:
            shown = [*sizes[:8], "…"] if len(sizes) > 8 else sizes
            said.append(counted(len(sizes), "category", "categories") + in_brackets(shown))
        without = [f"{name!r:.30} left out: {why}" for name, why in self.left_out.items()]
        said += [*without[:8], f"… ({len(without)} left out in all)"] if len(without) > 8 else without
        return f"{counted(len(columns), 'column')}: {', '.join(said)}"

    def summary(self) -> list[str]:
        """Say what was learned of each column, of thirty at most, as a table."""
        rows = [["column", "kind", "features", "learned from the training rows"]]
        for (name, kind), each in zip(self.kinds[:SHOWN], self.columns, strict=False):
            rows.append([one_line(name, 40), kind, f"{len(each.features)}", one_line(each.learned)])
        more = len(self.columns) - SHOWN
        return table(rows, "<<><") + ([f"and {counted(more, 'more column')}"] if more > 0 else [])

    def to_json(self) -> list[dict[str, Any]]:
        """Give what was learned of each column in terms of JSON."""
        kinds = {cls: kind for kind, cls in KINDS.items()}
        return [{"kind": kinds[type(each)], **each._asdict()} for each in self.columns]

    @classmethod
    def from_json(cls, content: Any, standardization: Standardization) -> Self:
        """Make it again of what JSON holds and the first entries of a standardisation, or raise an error."""
        columns = []
        for each in content:
            fields = dict(each)
            made: Any = KINDS[expect.one_of("kind", fields.pop("kind"), KINDS)]
            learned = made(**{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()})
            check_learned(learned)
            columns.append(learned)
        names = [each.name for each in columns]
        if len({*names}) < len(names):
            raise ValueError("columns: expected names that differ")
        D = sum(each.width for each in columns)
        own = Standardization(standardization.mean[:D], standardization.scale[:D])
        return cls(tuple(columns), own)


class Several(tuple[Preprocessing, ...]):
    """A preprocessing for each network of a stack, where each learned from other rows of the same table.

    Of a column one may have learned nothing, since all cells were the same in its rows, and another something.
    """

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Give name and kind of each column that any of them needs."""
        return [*dict.fromkeys(each for preprocessing in self for each in preprocessing.kinds)]

    @property
    def left_out(self) -> dict[str, str]:
        """Give the columns of which some could learn nothing, and why."""
        return {name: why for preprocessing in self for name, why in preprocessing.left_out.items()}

    def unseen(self, columns: Sequence[Column]) -> dict[str, tuple[int, str]]:
        """Count in each column the cells that none of them has seen, as `Preprocessing.unseen` does."""
        least: dict[str, tuple[int, str]] = {}
        for preprocessing in self:
            for name, found in preprocessing.unseen(columns).items():
                least[name] = min(found, least.get(name, found))
        return least

    def __call__(self, x: Any, dtype: npt.DTypeLike = np.float32) -> Array:
        """Make samples for each network: shape (S, N, D), with 0 for the features that only others have."""
        if not is_columns(x):
            if any(preprocessing.kinds != self.kinds for preprocessing in self):
                raise TypeError("the networks of the model learned from different columns: give it a data frame")
            x = expect.features("the model", x, len(self.kinds)).astype(np.float64)
            x = [Column(name, x[:, d]) for d, (name, _) in enumerate(self.kinds)]
        each = [preprocessing(x, dtype) for preprocessing in self]
        D = max(samples.shape[1] for samples in each)
        return np.stack([np.pad(samples, ((0, 0), (0, D - samples.shape[1]))) for samples in each])


def is_columns(x: Any) -> bool:
    """Tell whether samples are given as columns."""
    return isinstance(x, Sequence) and all(isinstance(each, Column) for each in x)


def in_brackets(parts: Sequence[str]) -> str:
    """Write what is added in brackets, if there is something."""
    return f" ({', '.join(parts)})" if parts else ""


def check_learned(learned: Learned) -> None:
    """Raise TypeError or ValueError if what a file says was learned of a column cannot have been."""
    flags = (learned.missing, learned.date if isinstance(learned, Number) else learned.other)
    if not isinstance(learned.name, str) or not all(isinstance(each, bool) for each in flags):
        raise TypeError(f"columns: expected a name, true and false, got {learned!r:.80}")
    if isinstance(learned, Number):
        if learned.fill is not None:
            expect.number("fill", learned.fill)
        elif learned.missing:
            raise ValueError("columns: expected a number to fill missing cells with, got none")
    elif not isinstance(learned.values, tuple) or not all(isinstance(each, str) for each in learned.values):
        raise TypeError(f"columns: expected values that are text, got {learned.values!r:.80}")
    elif sorted({*learned.values}) != [*learned.values] or not 0 < learned.width <= MOST:
        raise ValueError(f"columns: expected at most {MOST} sorted values that differ, got {learned.values!r:.80}")
