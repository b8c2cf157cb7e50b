"""What is in a user's file, and can a network be trained on it? CSV, Parquet and NumPy arrays become a table.

A file is checked before it is believed: whatever is in it, either a table of finite numbers comes out, or an error of
one line that names the file, the column or array, and the row. Nothing in a file can run code.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from minnet.data.arrays import ArrayFile
from minnet.data.columns import Column
from minnet.data.csv_file import NUMBER, CSVFile
from minnet.data.parquet_file import ParquetFile
from minnet.data.preprocessing import Preprocessing, Standardization
from minnet.support.machine import check_memory
from minnet.support.stack import Array
from minnet.support.text import listed

File = CSVFile | ParquetFile | ArrayFile
FORMATS: dict[str, Callable[..., File]] = dict.fromkeys((".csv", ".tsv", ".txt"), CSVFile)
FORMATS |= {".parquet": ParquetFile, ".npz": ArrayFile, ".npy": ArrayFile}


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

    @property
    def feature_names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def features(self) -> Array | Sequence[Column]:
        """What `Preprocessing` takes: an array where the source has one, else the columns."""
        return self.columns if self.matrix is None else self.matrix

    def take(self, chosen: Array) -> Self:
        """Give the same table of some of the samples."""
        of = {"t": self.t, "sample_weight": self.sample_weight, "rows": self.rows, "matrix": self.matrix}
        taken: dict[str, Any] = {
            name: None if array is None else array.take(chosen, axis=0) for name, array in of.items()
        }
        columns = [column.take(chosen) for column in self.columns] if self.matrix is None else self.columns
        return replace(self, columns=columns, **taken)

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


def is_file_name(name: str) -> bool:
    """Say whether a name is one that `read_table` takes: by its ending, not by whether there is such a file."""
    return Path(name).suffix.lower() in FORMATS


def read_table(
    path: str,
    target: str | None = None,
    *,
    labelled: bool = True,
    features: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    sample_weight: str | None = None,
    class_names: Sequence[str] | None = None,
) -> Table:
    """Read a file of samples.

    Parameters
    ----------
    path : str
        A .csv, .tsv or .txt with a header, a .parquet, an .npz with arrays ``x`` (N, D) and ``y`` (N,), a pair
        "x.npy,y.npy", or, where no labels are needed, "x.npy".
    target : str, optional
        The column of labels; of arrays the one to use, "y" by default.
    labelled : bool, default True
        Whether labels are needed. If not, the table has no ``t``.
    features : sequence of str, optional
        The columns to use, in that order; by default all that have no other use, in the file's order. Of arrays only
        their number is compared.
    ignore : sequence of str
        Columns to leave out.
    sample_weight : str, optional
        The column, or the array of an .npz, that says how much each row counts.
    class_names : sequence of str, optional
        The classes, where they are known; by default those that occur, sorted as numbers if all are, else by letter.

    Raises
    ------
    FileNotFoundError, OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is not a table of finite numbers with what was asked for.
    """
    if not is_file_name(path):
        raise ValueError(f"{path}: expected a file of {', '.join(FORMATS)}, or a pair x.npy,y.npy")
    files = re.split(r"(?<=\.npy),(?=.*\.npy$)", path, maxsplit=1, flags=re.IGNORECASE)
    for each in map(Path, files):
        if not each.is_file():
            raise FileNotFoundError(f"{each}: there is no such file{', but a folder' * each.is_dir()}")
        check_memory(f"{each}: reading it", 4 * each.stat().st_size)
    file = FORMATS[Path(path).suffix.lower()](*files)
    if isinstance(file, ArrayFile):
        target = target or "y"
        if labelled and target not in file.names:
            there = f"there are: {listed(['x', *file.hidden])}; .npy files are given as a pair, x.npy,y.npy"
            raise ValueError(f"{path}: there is no array {target!r} of labels; {there}")
        if features is not None:
            if len(features) != len(file.columns):
                raise ValueError(f"{path}: x has {len(file.columns)} features, expected {len(features)}")
            features = list(file.columns)
    label = target if labelled else None
    if labelled and label is None:
        raise ValueError(f"{path}: which column is the target? Name it with --target; there are: {listed(file.names)}")
    asked = [name for name in (label, sample_weight, *ignore, *(features or ())) if name is not None]
    if "" in file.names:
        at = file.names.index("") + 1
        index = "; pandas writes its index so: leave it out with index=False" if at == 1 else ""
        raise ValueError(f"{path}: column {at} has no name{index}")
    if twice := repeated(file.names):
        raise ValueError(f"{path}: there are several columns {listed(twice)}: each needs a name of its own")
    if missing := sorted({*asked} - {*file.names}):
        raise ValueError(f"{path}: there is no column {listed(missing)}; there are: {listed(file.names, missing[0])}")
    if twice := repeated(asked):
        raise ValueError(f"{path}: column {listed(twice)} is asked for twice (target, feature, weight, ignore)")
    if features is None:
        used = {*asked, *file.hidden}
        features = [name for name in file.names if name not in used]
    if not features:
        raise ValueError(f"{path}: no column is left for the features; there are: {listed(file.names)}")
    if file.n_rows < 1:
        raise ValueError(f"{path}: there is no row")
    check_memory(f"{path}: reading it", 16 * file.n_rows * (len(features) + 6))  # a label is an object of Python

    columns = [*features] if sample_weight is None else [*features, sample_weight]
    numbers, labels = file.load(columns, label)
    check_cells(file, columns, numbers)
    x = np.ascontiguousarray(numbers[:, : len(features)])
    weights = None if sample_weight is None else numbers[:, -1]
    if weights is not None and weights.min() < 0:
        place, cell = file.cell(columns[-1], int(weights.argmin()))
        raise ValueError(f"{place}: expected a weight of at least 0, got {cell}")
    t, class_names = (None, ()) if label is None else number_classes(file, label, labels, class_names)
    kept = {label, *columns}
    ignored = [name for name in file.names if name not in kept]
    inputs = [Column(name, x[:, d]) for d, name in enumerate(features)]
    name, rows = Path(files[0]).stem, np.arange(len(x))
    return Table(name, inputs, t, class_names, weights, rows=rows, ignored=ignored, matrix=x)


def repeated(names: Sequence[str]) -> list[str]:
    """Find the names that are there more than once."""
    return [name for name, times in Counter(names).items() if times > 1]


def check_cells(file: File, names: Sequence[str], numbers: Array) -> None:
    """Raise ValueError if a cell is no finite number: where the first is, what it says, how many there are."""
    bad = ~np.isfinite(numbers)
    if not bad.any():
        return
    counts = bad.sum(axis=0)
    wrong = np.flatnonzero(counts)
    place, cell = file.cell(names[wrong[0]], int(bad[:, wrong[0]].argmax()))
    remedy = "write a decimal point" if "," in cell else "mend it, or leave out the row, or --ignore the column"
    found = ", ".join(f"{counts[j]} in {names[j]!r:.60}" for j in wrong[:8])
    expected = "expected a number that float64 can hold"
    raise ValueError(f"{place}: {expected}, got {cell!r:.60}; {remedy} (such cells are: {found})")


def number_classes(
    file: File, label: str, values: Sequence[Any], class_names: Sequence[str] | None
) -> tuple[Array, Sequence[str]]:
    """Number the classes of labels from 0, those that are known or else those that occur, and name them."""
    texts = {value: label_text(value) for value in dict.fromkeys(values)}
    if class_names is None:
        class_names = sorted({*texts.values()} - {""})
        if all(map(NUMBER.fullmatch, class_names)):
            class_names.sort(key=float)
    number = {label_text(name): k for k, name in enumerate(class_names)}  # names from elsewhere may be "1.0"
    for value, text in texts.items():
        if text not in number:
            place, _ = file.cell(label, values.index(value))
            raise ValueError(f"{place}: expected a label, got {value!r:.60}; the classes are: {listed(class_names)}")
    return np.array([number[texts[value]] for value in values]), class_names


def label_text(value: Any) -> str:
    """Make text of a label, the same in every format: "1" of 1, of 1.0 and of their texts; "" of none."""
    if value is None or value != value:
        return ""
    text = str(value).strip()
    is_float = NUMBER.fullmatch(text) and not text.lstrip("+-").isdigit()
    number = float(text) if is_float else math.nan
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else text
