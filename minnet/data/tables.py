"""What is in a user's file, and can a network be trained on it? CSV, Parquet and NumPy arrays become a table.

A file is checked before it is believed: whatever is in it, either a table of finite numbers comes out, or an error of
one line that names the file, the column or array, and the row. Nothing in a file can run code.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minnet.data.arrays import read_arrays
from minnet.data.checks import (
    NUMBER,
    Table,
    check_file,
    check_memory,
    check_names,
    check_roles,
    check_weights,
    label_array,
    label_text,
)
from minnet.data.csv_file import CSVFile
from minnet.data.parquet_file import ParquetFile
from minnet.support.stack import Array
from minnet.support.text import listed

NOT_FINITE = re.compile(r"[+-]?(nan|inf(inity)?)", re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")


def is_file_name(name: str) -> bool:
    """Say whether a name is one that `read_table` takes: by its ending, not by whether there is such a file."""
    return name.lower().endswith((".csv", ".tsv", ".txt", ".parquet", ".npz", ".npy"))


def read_table(
    path: str,
    target: str | None = None,
    *,
    labelled: bool = True,
    features: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    sample_weight: str | None = None,
) -> Table:
    """Read a file of samples.

    Parameters
    ----------
    path : str
        A .csv, .tsv or .txt with a header, a .parquet, an .npz with arrays ``x`` (N, D) and ``y`` (N,), a pair
        "x.npy,y.npy", or, where no labels are needed, "x.npy".
    target : str, optional
        The column of labels; of an .npz the array, "y" by default.
    labelled : bool, default True
        Whether labels are needed. If not, the target is only left out of the features.
    features : sequence of str, optional
        The columns to use, in that order; by default all that have no other use, in the file's order. Of arrays only
        their number is compared.
    ignore : sequence of str
        Columns to leave out.
    sample_weight : str, optional
        The column, or the array of an .npz, that says how much each row counts.

    Raises
    ------
    FileNotFoundError, OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is not a table of finite numbers with what was asked for.
    """
    ending = path.lower().rpartition(".")[2]
    if not is_file_name(path):
        raise ValueError(f"{path}: expected a .csv, .tsv, .txt, .parquet or .npz file, or a pair x.npy,y.npy")
    if ending in ("npz", "npy"):
        return read_arrays(path, target, labelled, features, ignore, sample_weight)
    check_file(path)
    file = ParquetFile(path) if ending == "parquet" else CSVFile(path, features)
    check_names(path, "column", file.names)
    if file.n_rows < 1:
        raise ValueError(f"{path}: there is a header, but no row")
    if labelled and target is None:
        raise ValueError(f"{path}: which column is the target? Name it with --target; there are: {listed(file.names)}")
    label, weight = target if labelled else None, [] if sample_weight is None else [sample_weight]
    roles = {"target": [] if label is None else [label], "sample_weight": weight, "ignore": ignore}
    check_roles(path, "column", file.names, roles | {"features": features or ()})
    ignorable = features is None
    if features is None:
        used = {target, *weight, *ignore, *file.hidden}
        features = [name for name in file.names if name not in used]
    if not features:
        raise ValueError(f"{path}: no column is left for the features; there are: {listed(file.names)}")
    check_memory(path, 16 * file.n_rows * (len(features) + 6))  # a label is an object of Python

    numbers, values = file.load([*features, *weight], label)
    x, w, labels = numbers[:, : len(features)], None, None
    check_cells(file, features, x, needed=not ignorable)
    if sample_weight is not None:
        w = numbers[:, -1].copy()
        check_cells(file, weight, numbers[:, -1:], needed=True)
        check_weights(w, f"{path}: column {sample_weight!r:.60}", lambda row: file.cell(sample_weight, row)[0])
    if label is not None:
        labels = label_array(values, lambda row: file.cell(label, row)[0])
    kept = {*features, *weight, label}
    ignored = tuple(name for name in file.names if name not in kept)
    return Table(Path(path).stem, np.ascontiguousarray(x), labels, w, tuple(features), ignored)


def check_cells(file: CSVFile | ParquetFile, names: Sequence[str], numbers: Array, needed: bool) -> None:
    """Raise a ValueError that tells of columns (N, D) with cells that are no finite numbers, by name and how many."""
    bad = ~np.isfinite(numbers)
    unusable = {name: int(count) for name, count in zip(names, bad.sum(axis=0), strict=True) if count}
    if not unusable:
        return
    name, count = next(iter(unusable.items()))
    place, cell = file.cell(name, int(bad[:, names.index(name)].argmax()))
    if not cell:
        problem = "the value is missing; fill it in, or remove the row"
    elif NOT_FINITE.fullmatch(cell) or NUMBER.fullmatch(cell):
        problem = f"expected a finite number that float64 can hold, got {cell:.60}"
    elif DECIMAL_COMMA.fullmatch(cell):
        problem = f"expected a number, got {cell!r:.60}; write a decimal point: {cell.replace(',', '.'):.60}"
    else:
        problem = f"expected a number, got {cell!r:.60}"
        if not needed:  # all columns of text at once
            text = [each for each, n in unusable.items() if each == name or (2 * n > len(numbers) and "," not in each)]
            out = "the column" if len(text) == 1 else "such columns"
            problem += f"; leave {out} out with --ignore {','.join(text[:12])!r:.200}, or code it as numbers"
    if count > 1:
        problem += f" ({count} cells of this column cannot be used)"
    if len(unusable) > 1:
        others = [f"{each!r:.60} ({n} cells)" for each, n in list(unusable.items())[1:7]]
        problem += f"; nor can cells of {', '.join(others)}" + (" and others" if len(unusable) > 7 else "")
    raise ValueError(f"{place}: {problem}")


def class_numbers(labels: Array, class_names: Sequence[str] | None = None) -> tuple[Array, tuple[str, ...]]:
    """Number the classes from 0.

    Parameters
    ----------
    labels : array of shape (N,)
        Of str.
    class_names : sequence of str, optional
        The classes, where they are known; by default those that occur, sorted as numbers if all are, else by letter.

    Returns
    -------
    t : array of shape (N,), int
        The number of each label's class.
    class_names : tuple of str
        The classes.

    Raises
    ------
    ValueError
        If a label is not among the names; or, without names, if there is a single class, or the labels look like a
        quantity: numbers, of which more than half differ.
    """
    values = [str(label) for label in labels]
    if class_names is None:
        class_names = sorted(set(values))
        if len(class_names) < 2:
            raise ValueError(f"the only class is {listed(class_names)}: expected at least two")
        if all(map(NUMBER.fullmatch, class_names)):
            if len(values) > 20 and 2 * len(class_names) > len(values):
                raise ValueError(
                    f"the target has {len(class_names)} different numbers in {len(values)} rows: it looks like a "
                    "quantity to predict, and minnet trains classifiers"
                )
            class_names.sort(key=float)
    number = {label_text(name): k for k, name in enumerate(class_names)}  # names from elsewhere may be "1.0"
    for row, label in enumerate(values, 1):
        if label not in number:
            raise ValueError(f"row {row}: unknown class {label!r:.60}; the classes are: {listed(class_names, label)}")
    return np.array([number[label] for label in values], dtype=np.int64), tuple(class_names)
