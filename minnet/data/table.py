"""What are samples as their source gives them, before anything is learned of them?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from minnet.data.columns import Column
from minnet.data.preprocessing import Preprocessing, Standardization
from minnet.support.stack import Array


@dataclass(frozen=True, eq=False)
class Table:
    """Samples as their source gives them, of which nothing is learned yet.

    Attributes
    ----------
    name : str
        What they are called; of a file, its name without folder and ending.
    columns : sequence of Column
        D columns of N cells each: the features, in order.
    t : array of shape (N,), or None
        Class numbers; None if they were not asked for.
    class_names : sequence of str
        K names.
    sample_weight : array of shape (N,), or None
        How much each sample counts; None if all count the same.
    groups : array of shape (N,), or None
        Which samples belong together, as int64; None if none was said to.
    time : array of shape (N,), or None
        When each sample was taken, as float64: numbers or days; None if that is not known.
    rows : array of shape (N,)
        The row of the source of each sample, from 0: some may have been left out.
    kept : mapping of str to list of str
        Columns that are carried along, as text.
    ignored : sequence of str
        The columns or arrays of the source that were not used.
    notes : sequence of str
        What was done with the source, in short clauses.
    matrix : array of shape (N, D), or None
        The columns side by side, where the source has them so.
    """

    name: str
    columns: Sequence[Column]
    t: Any
    class_names: Sequence[str]
    sample_weight: Array | None = None
    groups: Array | None = None
    time: Array | None = None
    rows: Array = field(default_factory=lambda: np.arange(0))
    kept: Mapping[str, list[str]] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    notes: Sequence[str] = ()
    matrix: Array | None = None

    @classmethod
    def of_arrays(
        cls, name: str, x: Array, t: Array, class_names: Sequence[str], feature_names: Sequence[object]
    ) -> Self:
        """Make a table of numbers (N, D), NaN where one is missing, class numbers (N,), and their names."""
        columns = [Column(str(each), x[:, d]) for d, each in enumerate(feature_names)]
        return cls(name, columns, t, class_names, rows=np.arange(len(x)), matrix=None if np.isnan(x).any() else x)

    def take(self, rows: Array) -> Self:
        """Give the same table with some of the rows."""

        def some(array: Any) -> Any:
            return None if array is None else array.take(rows, axis=0)

        kept = {name: [texts[row] for row in rows.tolist()] for name, texts in self.kept.items()}
        matrix = some(self.matrix)
        if matrix is None:
            columns = [column.take(rows) for column in self.columns]
        else:
            columns = [column._replace(values=matrix[:, d]) for d, column in enumerate(self.columns)]
        arrays = {name: some(getattr(self, name)) for name in ("t", "sample_weight", "groups", "time", "rows")}
        return replace(self, columns=columns, kept=kept, matrix=matrix, **arrays)

    @property
    def feature_names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def features(self) -> Array | Sequence[Column]:
        """What `Preprocessing` takes: an array where the source has one, else the columns."""
        return self.columns if self.matrix is None else self.matrix

    def preprocessing(self) -> Preprocessing:
        """Learn from these samples."""
        if self.matrix is None:
            return Preprocessing.fit(self.columns)
        return Preprocessing.plain(self.feature_names, Standardization.of(self.matrix))

    @property
    def x(self) -> Array:
        """The columns as an array of shape (N, D), if all are numbers without a missing cell; else ValueError."""
        if self.matrix is not None:
            return self.matrix
        for column in self.columns:
            if column.words is not None or column.missing.any():
                raise ValueError(
                    f"{self.name}: column {column.name!r:.60} holds words or lacks cells: expected numbers"
                )
        return np.column_stack([column.values for column in self.columns])
