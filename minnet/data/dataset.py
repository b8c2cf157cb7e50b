"""Where do samples come from, and how do they become a data set that can be trusted? Loading, splitting, scaling.

A named data set or a pair of arrays is split into stratified training, validation and test parts, and standardised
with the statistics of the training part alone, so that nothing of the other two leaks into training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minnet.data.preprocessing import Preprocessing, Standardization
from minnet.data.splits import SPLITS, split_rows
from minnet.data.table import Table
from minnet.support import expect
from minnet.support.stack import Array


class Part(NamedTuple):
    """One part of a data set: samples ``x`` (N, D) and targets ``t``, class numbers (N,) or rows (N, K)."""

    x: Array
    t: Array


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples ready for training, in three parts.

    Parameters
    ----------
    name : str
        What the data set is called.
    train, validation, test : Part
        Standardised samples and their targets.
    class_names : tuple of str
        K names: class number k is called ``class_names[k]``.
    preprocessing : Preprocessing
        What was applied to the raw samples, so that it can be applied to new ones.
    sample_weight : mapping of str to array, optional
        How much each sample of "train", "validation" or "test" counts in losses; all the same by default.
    rows : mapping of str to array, optional
        Where the samples of "train", "validation" and "test" came from: their rows in the data, from 0.
    about : str, optional
        What the data's columns were found to be.

    Raises
    ------
    TypeError, ValueError
        If a part's samples are not finite floating-point arrays of shape (N, D), its targets are not what
        `minnet.support.expect.targets` takes, or there are fewer than two classes.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    sample_weight: Mapping[str, Array] = field(default_factory=dict)
    rows: Mapping[str, Array] = field(default_factory=dict)
    about: str = ""

    def __post_init__(self) -> None:
        owner = f"data set {self.name!r}"
        if len(set(self.class_names)) < max(2, self.K):
            raise ValueError(f"{owner}: expected at least two classes of different names, got {self.class_names!s:.99}")
        for part_name in SPLITS:
            x, t = getattr(self, part_name)
            try:
                expect.features(owner, x, self.D)
                expect.targets(t, self.K, N=len(x))
                if part_name in self.sample_weight:
                    expect.weights(f"{owner}: sample_weight", self.sample_weight[part_name], len(x))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{error} (in the {part_name} part)") from None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the D features."""
        return self.preprocessing.feature_names

    @property
    def standardization(self) -> Standardization:
        """What was done with the features."""
        return self.preprocessing.standardization

    @property
    def D(self) -> int:
        """Number of features."""
        return self.preprocessing.D

    @property
    def K(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def labels(self, split: str) -> Array:
        """Return the class numbers of a split's samples: an array of shape (N,)."""
        return np.asarray(expect.targets(getattr(self, split).t, self.K).argmax(axis=1))

    def counts(self, split: str) -> Array:
        """Count the samples of each class in a split: an array of shape (K,)."""
        return np.bincount(self.labels(split), minlength=self.K)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part}={len(getattr(self, part).x)}" for part in SPLITS)
        return f"Dataset({self.name!r}, {sizes}, D={self.D}, K={self.K})"

    @classmethod
    def from_arrays(
        cls,
        x: npt.ArrayLike,
        t: npt.ArrayLike,
        *,
        name: str = "arrays",
        class_names: Sequence[object] | None = None,
        feature_names: Sequence[object] | None = None,
        seed: int = 0,
        dtype: npt.DTypeLike = np.float32,
        sample_weight: npt.ArrayLike | None = None,
        validation: float = 0.15,
        test: Sequence[Any] | None = None,
    ) -> Self:
        """Split arrays of one's own 70/15/15, stratified by class, and standardise them.

        Parameters
        ----------
        x : array of shape (N, D)
            Raw samples, floating-point. A data frame's columns give their names; `from_frame` takes others, too.
        t : array of shape (N,)
            Class numbers 0 … K−1, each of which occurs. For labels of any kind:
            ``class_names, t = np.unique(labels, return_inverse=True)``.
        name : str, default "arrays"
            What to call the data set.
        class_names, feature_names : sequences of str, optional
            K and D names; "0", "1", … and "x0", "x1", … by default.
        seed : int, default 0
            Determines the split. From 0 to 2³² − 1.
        dtype : dtype, default float32
            The dtype of the standardised samples.
        sample_weight : array of shape (N,), optional
            How much each sample counts in losses.
        validation : float, default 0.15
            The share of the samples for validation, above 0 and below 0.8.
        test : (x, t) or (x, t, sample_weight), optional
            A test part of its own; all of ``x`` is then for training and validation.

        Raises
        ------
        TypeError
            If ``x`` is not floating-point or ``t`` not of integers.
        ValueError
            If shapes or names do not match, an entry of ``x`` is not finite, a class number is missing, there is a
            single class, or a class has fewer than three samples (one for each part; two with a ``test`` of its own).
        """
        owner, names = f"data set {name!r}", getattr(x, "columns", None)  # those of a data frame
        validation = expect.number("Dataset validation", validation, above=0, below=0.8)
        if names is not None and np.asanyarray(x).dtype == object:
            raise TypeError(f"{owner}: not all columns of the frame are numbers: use Dataset.from_frame(frame, target)")
        x, t = expect.features(owner, x), np.asanyarray(t)  # a masked array is refused as one
        if t.ndim != 1:
            raise ValueError(f"{owner} expected one class number a sample, got t of shape {t.shape}")
        if class_names is None:
            class_names = range(len(set(t.tolist())))
        if feature_names is None:
            feature_names = [f"x{d}" for d in range(x.shape[1])] if names is None else [*names]
        if len(feature_names) != x.shape[1]:
            raise ValueError(f"{owner} expected {x.shape[1]} feature_names, as x has columns, got {len(feature_names)}")
        labels = expect.targets(t, len(class_names), N=len(x)).argmax(axis=1)
        for k in np.flatnonzero(np.bincount(labels, minlength=len(class_names)) == 0):
            raise ValueError(f"{owner} has no sample of class {str(class_names[int(k)])!r:.60}: leave its name out")
        called = [*map(str, class_names)], [*map(str, feature_names)]
        table, own = Table.of_arrays(name, x, labels, *called), None
        if sample_weight is not None:
            table = replace(table, sample_weight=expect.weights(f"{owner}: sample_weight", sample_weight, len(x)))
        if test:
            x_test = expect.features(f"{owner}, its test part,", test[0], x.shape[1])
            own = Table.of_arrays(name, x_test, np.asarray(test[1]), *called)
            own = replace(own, sample_weight=test[2] if len(test) > 2 else None)
        return cls.from_table(table, seed=seed, dtype=dtype, validation=validation, test=own)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        target: str,
        *,
        seed: int = 0,
        dtype: npt.DTypeLike = np.float32,
        validation: float = 0.15,
        **options: Any,
    ) -> Self:
        """Split a data frame of pandas or polars 70/15/15, and make features of its columns.

        Numbers are standardised, and a missing one gets the training part's median; words are one feature for each
        that occurs there.

        Parameters
        ----------
        frame : data frame
            With a column for each feature, and one of classes.
        target : str
            The column of classes. Rows without one are left out.
        seed, dtype, validation
            As `from_arrays` takes them.
        **options
            What else is known of the columns: ``ignore``, ``categorical``, ``group``, ``time`` and others, as
            `minnet.data.tables.make_table` takes them.

        Raises
        ------
        TypeError, ValueError
            If it is no data frame, or one that cannot be trained on, for the reason that the message says.
        """
        from minnet.data.frames import from_frame

        return cls.from_table(from_frame(frame, target, **options), seed=seed, dtype=dtype, validation=validation)

    @classmethod
    def from_table(
        cls,
        table: Table,
        *,
        seed: int = 0,
        dtype: npt.DTypeLike = np.float32,
        validation: float = 0.15,
        test: Table | None = None,
    ) -> Self:
        """Split a table, by its groups or its time if it has some, and make features of its columns.

        Parameters and errors are those of `from_arrays`; `minnet.data.splits.split_rows` says what else cannot be.
        """
        share, labels = 0 if test else 0.15, np.asarray(table.t)
        try:
            rows = split_rows(labels, seed, validation, share, table.groups, table.time, table.class_names)
        except ValueError as error:
            raise ValueError(f"data set {table.name!r}: {error}") from None
        return cls.of_rows(table, rows, dtype, test)

    @classmethod
    def of_rows(
        cls, table: Table, rows: Mapping[str, Array], dtype: npt.DTypeLike = np.float32, test: Table | None = None
    ) -> Self:
        """Make features of a table's columns, by what the rows of "train" alone say of them.

        Parameters
        ----------
        table : Table
            The samples.
        rows : mapping of str to array
            The row numbers of "train", "validation" and "test".
        dtype : dtype, default float32
            The dtype of the standardised samples.
        test : Table, optional
            A test part of its own.

        Raises
        ------
        ValueError
            If no column can be used as a feature.
        """
        tables = {split: table.take(chosen) for split, chosen in rows.items()}
        preprocessing = tables["train"].preprocessing()
        if test is not None:
            tables["test"] = test
        parts, weights = {}, {}
        for split, part in tables.items():
            parts[split] = Part(preprocessing(part.features, dtype), np.asarray(part.t))
            if part.sample_weight is not None:
                weights[split] = np.asarray(part.sample_weight)
        about = "; ".join([preprocessing.describe(table.features), *table.notes])
        return cls(
            table.name, **parts, class_names=tuple(table.class_names), preprocessing=preprocessing,
            sample_weight=weights, rows={split: tables[split].rows for split in rows}, about=about,
        )  # fmt: skip
