"""What is in a user's table, and can a network be trained on it? Files and data frames become columns with classes.

A source is checked before it is believed: whatever is in it, either a table of finite numbers, of dates and of
categories comes out, or an error of one line that names the file, the column or array, and the row, and says what to
do. Nothing in a file can run code.
"""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minnet.data.arrays import ArrayFile
from minnet.data.columns import (
    Column,
    Source,
    categories,
    converted,
    to_days,
    to_number,
    to_number_or_truth,
)
from minnet.data.csv_file import CSVFile
from minnet.data.labels import number_classes
from minnet.data.parquet_file import ParquetFile
from minnet.data.table import Table
from minnet.support.machine import check_memory
from minnet.support.stack import Array
from minnet.support.text import listed

FORMATS: dict[str, Callable[..., Source]] = dict.fromkeys((".csv", ".tsv", ".txt"), CSVFile)
FORMATS |= {".parquet": ParquetFile, ".npz": ArrayFile, ".npy": ArrayFile}
UNNAMED = "Unnamed: 0"  # what pandas calls a first column without a name
INDEX = {UNNAMED.lower(), "index", "rownames", "row_names", "row.names", "id"}  # as pandas, R and SQL name one


def is_file_name(name: str) -> bool:
    """Say whether a name is one that `read_table` takes: by its ending, not by whether there is such a file."""
    return Path(name).suffix.lower() in FORMATS


def read_table(path: str, target: str | None = None, **options: Any) -> Table:
    """Read a file of samples.

    Parameters
    ----------
    path : str
        A .csv, .tsv or .txt with a header, "-" for such text from standard input, a .parquet, an .npz with arrays
        ``x`` (N, D) and ``y`` (N,), a pair "x.npy,y.npy", or, where no labels are needed, "x.npy".
    target : str, optional
        The column of labels; of arrays the one to use, "y" by default.
    **options
        Those of `make_table`.

    Raises
    ------
    FileNotFoundError, OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is not a table with what was asked for.
    """
    if path == "-":
        return make_table(CSVFile(path), "standard input", target, **options)
    if not is_file_name(path):
        raise ValueError(f"{path}: expected a file of {', '.join(FORMATS)}, or a pair x.npy,y.npy")
    files = re.split(r"(?<=\.npy),(?=.*\.npy$)", path, maxsplit=1, flags=re.IGNORECASE)
    for each in map(Path, files):
        if not each.is_file():
            raise FileNotFoundError(f"{each}: there is no such file{', but a folder' * each.is_dir()}")
        check_memory(f"{each}: reading it", 4 * each.stat().st_size)
    return make_table(FORMATS[Path(path).suffix.lower()](*files), Path(files[0]).stem, target, **options)


def make_table(
    file: Source,
    name: str,
    target: str | None = None,
    *,
    labelled: bool = True,
    columns: Sequence[tuple[str, str]] | None = None,
    ignore: Sequence[str] = (),
    sample_weight: str | None = None,
    class_names: Sequence[str] | None = None,
    categorical: Sequence[str] = (),
    missing: str = "fill",
    min_class: int | None = None,
    group: str | None = None,
    time: str | None = None,
    keep: Sequence[str] = (),
) -> Table:
    """Make a table of what a source holds.

    Parameters
    ----------
    file : Source
        A file, or a data frame.
    name : str
        What to call the table.
    target : str, optional
        The column of labels. Rows that have none are left out.
    labelled : bool, default True
        Whether labels are needed. If not, the table has no ``t``.
    columns : sequence of (str, str), optional
        The features that a model wants, in order: name, and kind, which is "number", "date" or "category". Of arrays
        only their number is compared. By default all columns that have no other use, in the source's order, but for
        an index and those without any value; their kinds are found out.
    ignore : sequence of str
        Columns to leave out.
    sample_weight : str, optional
        The column, or the array of an .npz, that says how much each row counts.
    class_names : sequence of str, optional
        The classes, where they are known; by default those that occur, sorted as numbers if all are, else by letter.
    categorical : sequence of str
        Features whose numbers are codes of categories, or that hold words among numbers.
    missing : {"fill", "refuse"}
        Whether cells of features may be missing.
    min_class : int, optional
        Leave out the rows of classes that have fewer than so many.
    group, time : str, optional
        The columns that say which rows belong together, and when each was taken: numbers or dates.
    keep : sequence of str
        Columns to carry along as text, which may have another use, too.

    Raises
    ------
    ValueError
        If it is not a table with what was asked for.
    """
    label = target if labelled else None
    if isinstance(file, ArrayFile):
        label, wanted = check_arrays(file, target, labelled, columns)
    else:
        wanted = None if columns is None else dict(columns)
    if labelled and label is None:
        there = f"there are: {listed(file.names)}"
        raise ValueError(f"{file.path}: which column is the target? Name it with --target; {there}")
    ignore = [each or UNNAMED for each in ignore]
    roles = [each for each in (label, sample_weight, group, time) if each is not None]
    check_names(file, [*roles, *ignore, *categorical], keep, wanted)
    if wanted is None:
        used = {*roles, *ignore, *file.hidden}
        kinds = {each: "category" if each in categorical else None for each in file.names if each not in used}
    else:
        kinds = dict[str, str | None](wanted)
    if not kinds:
        raise ValueError(f"{file.path}: no column is left for the features; there are: {listed(file.names)}")
    if file.n_rows < 1:
        raise ValueError(f"{file.path}: there is no row")

    found = load(file, kinds, roles, [each for each in (label, group) if each is not None])
    kept = {column.name: column.texts() for column in file.load(keep, {*keep})} if keep else {}  # as they are written
    notes, N = [*file.notes], len(next(iter(found.values())).values)
    if wanted is None:
        notes += leave_out(file, found, kinds)
    features = interpret_all(file, found, kinds)
    if wanted is None:
        empty = [column.name for column in features if column.missing.all()]
        features = [column for column in features if not column.missing.all()]
        dates = [column.name for column in features if column.date]
        notes += [f"{some_of(empty)} left out: no cell has a value"] * bool(empty)
        notes += [f"{some_of(dates)}: days"] * bool(dates)
        if not features:
            raise ValueError(f"{file.path}: no column is left for the features, as none has a value")
    if missing == "refuse":
        refuse_missing(file, features)
    weight = None if sample_weight is None else read_weights(file, found[sample_weight])
    moments = None if time is None else complete(file, interpret(file, found[time], None), "a number or date").values
    codes = None if group is None else complete(file, categories(found[group]), "the name of a group").values
    t, names, rows = None, list[str](), np.arange(N)
    if label is not None:
        t, names, more = number_classes(file, found[label], class_names, min_class)
        notes += more
        rows = np.flatnonzero(t >= 0)
    used = {*roles, *kinds, *keep}
    table = Table(
        name, features, t, names, weight, codes, moments, np.arange(N), kept,
        [each for each in file.names if each not in used], notes,
    )  # fmt: skip
    if isinstance(file, ArrayFile) and columns is not None:  # by the names that the model knows
        renamed = [column._replace(name=each) for column, (each, _) in zip(features, columns, strict=True)]
        table = replace(table, columns=renamed)
    return table if len(rows) == N else table.take(rows)


def check_arrays(
    file: ArrayFile, target: str | None, labelled: bool, columns: Sequence[tuple[str, str]] | None
) -> tuple[str | None, dict[str, str] | None]:
    """Find the array of labels, and the kinds of the columns of x that a model wants, which it knows by other names."""
    target = target or "y"
    if labelled and target not in file.names:
        there = f"there are: {listed(['x', *file.hidden])}; .npy files are given as a pair, x.npy,y.npy"
        raise ValueError(f"{file.path}: there is no array {target!r} of labels; {there}")
    label = target if labelled else None
    if columns is None or {name for name, _ in columns} <= file.columns.keys():  # learned from arrays, perhaps of a few
        return label, None if columns is None else dict(columns)
    if len(columns) != len(file.columns):
        raise ValueError(f"{file.path}: x has {len(file.columns)} features, expected {len(columns)}")
    return label, dict(zip(file.columns, (kind for _, kind in columns), strict=True))


def check_names(file: Source, roles: Sequence[str], others: Sequence[str], wanted: Mapping[str, str] | None) -> None:
    """Raise ValueError unless each column has a name of its own, and all that are asked for are there, once each."""
    path, there = file.path, {*file.names}
    if "" in there:
        raise ValueError(f"{path}: column {file.names.index('') + 1} has no name")
    if twice := repeated(file.names):
        raise ValueError(f"{path}: there are several columns {listed(twice)}: each needs a name of its own")
    if absent := sorted({*roles, *others} - there):
        raise ValueError(f"{path}: there is no column {listed(absent)}; there are: {listed(file.names, absent[0])}")
    if absent := [each for each in wanted or () if each not in there]:
        known = f"there are: {listed(file.names, absent[0])}"
        remedy = f"add it, its cells may be empty, or train without it: --ignore {shlex.quote(','.join(absent)[:200])}"
        raise ValueError(f"{path}: there is no column {listed(absent)}, which the model wants; {known}; {remedy}")
    if twice := repeated([*roles, *(wanted or ())]):
        raise ValueError(f"{path}: column {listed(twice)} is asked for twice (target, feature, weight, ignore, …)")


def repeated(names: Sequence[str]) -> list[str]:
    """Find the names that are there more than once."""
    return [name for name, times in Counter(names).items() if times > 1]


def some_of(names: Sequence[str]) -> str:
    """Write names for a note, and how many more there are."""
    few = ", ".join(f"{name:.60}" for name in names[:5])
    return few if len(names) <= 5 else f"{few} and {len(names) - 5} more"


def load(
    file: Source, kinds: Mapping[str, str | None], roles: Sequence[str], texts: Sequence[str]
) -> dict[str, Column]:
    """Load features and columns of other use from a source, by name."""
    names = list(dict.fromkeys([*kinds, *roles, *texts]))
    typed = {*file.categories}
    coded = [name for name in names if kinds.get(name) == "category" or name in typed]
    check_memory(f"{file.path}: reading it", 16 * file.n_rows * (len(kinds) + 6))
    return dict(zip(names, file.load(names, {*texts, *coded}), strict=True))


def leave_out(file: Source, found: Mapping[str, Column], kinds: dict[str, str | None]) -> list[str]:
    """Leave an index out of the features: a first column that is called so, or has no name, and never repeats a cell.

    A category as such, of a Parquet file or data frame, keeps its kind.
    """
    kinds |= {name: "category" for name in file.categories if name in kinds}
    first = next(name for name in file.names if name not in file.hidden)
    if first not in kinds or first.lower() not in INDEX or len(kinds) < 2:
        return []
    column = found[first]
    if column.missing.any() or len(np.unique(column.values)) < len(column.values):
        return []
    del kinds[first]
    return ["first column left out: an index" if first == UNNAMED else f"{first} left out: an index"]


def interpret_all(file: Source, found: Mapping[str, Column], kinds: Mapping[str, str | None]) -> list[Column]:
    """Interpret all features; an error says of the first what is wrong, and names some others that are wrong, too."""
    features, wrong = list[Column](), dict[str, str]()
    for name, kind in kinds.items():
        try:
            features.append(interpret(file, found[name], kind))
        except ValueError as error:
            wrong[name] = str(error)
        if len(wrong) == 8:  # finding cells takes time
            break
    if wrong:
        (_, message), *others = wrong.items()
        more = f" (such cells are also in: {listed([name for name, _ in others])})" if others else ""
        raise ValueError(message + more)
    return features


def interpret(file: Source, column: Column, kind: str | None) -> Column:
    """Make numbers, dates or categories of a column as it was read: of a known kind, or of the one that it looks like.

    Raises
    ------
    ValueError
        If a cell is not what the others are, or what the kind says.
    """
    if kind == "category":
        return categories(column)
    if kind is None:
        return finite(file, column if column.words is None else of_likely_kind(file, column))
    if column.words is None:
        found, wrong = column._replace(date=kind == "date"), ~column.missing & (column.kind != kind)
    else:
        found, wrong = converted(column, to_days if kind == "date" else to_number_or_truth)
    if wrong.any():
        expected = f"a {kind}, as the model was trained on"
        file.refuse(column.name, wrong, expected, "mend it, or leave the cell empty")
    return finite(file, found)


def of_likely_kind(file: Source, column: Column) -> Column:
    """Make numbers of words if all are, dates if all are, else categories; ValueError if most are numbers, not all."""
    numbers, wrong = converted(column, to_number)
    n_numbers, n_wrong = int((~numbers.missing).sum()), int(wrong.sum())
    if not n_wrong:
        return numbers
    if n_numbers >= n_wrong:
        name = shlex.quote(f"{column.name:.60}")
        remedy = f"mend it, take the column as words: --categorical {name}, or leave it out: --ignore {name}"
        file.refuse(column.name, wrong, f"a number, as {n_numbers} of {n_numbers + n_wrong} cells are", remedy)
    dates, wrong = converted(column, to_days)
    return categories(column) if wrong.any() else dates


def finite(file: Source, column: Column) -> Column:
    """Return a column of numbers, or raise ValueError if one is infinite."""
    wrong = np.isinf(column.values)
    if wrong.any():
        remedy = f"mend it, leave the cell empty, or --ignore {shlex.quote(column.name[:60])}"
        file.refuse(column.name, wrong, "a number that float64 can hold", remedy)
    return column


def complete(file: Source, column: Column, expected: str) -> Column:
    """Return a column of which no cell may be missing, nor a word where a number is needed, or raise ValueError."""
    if column.words is not None and "number" in expected:
        file.refuse(column.name, ~column.missing, expected, "mend it, or use another column")
    if column.missing.any():
        file.refuse(column.name, column.missing, expected, "mend it, leave out the row, or use another column")
    return column


def read_weights(file: Source, column: Column) -> Array:
    """Return how much each row counts, or raise ValueError if a cell does not say it."""
    weights = column.values if column.words is None else converted(column, to_number_or_truth)[0].values
    wrong = ~((weights >= 0) & (weights < np.inf))
    if wrong.any():
        file.refuse(column.name, wrong, "a weight of at least 0", "mend it, or leave out the row")
    return weights


def refuse_missing(file: Source, features: Sequence[Column]) -> None:
    """Raise ValueError if a cell of a feature is missing: where the first is, and how many each column has."""
    counts = {column.name: int(column.missing.sum()) for column in features if column.missing.any()}
    if counts:
        found = ", ".join(f"{count} in {name!r:.60}" for name, count in [*counts.items()][:8])
        lacking = next(column for column in features if column.name in counts)
        remedy = f"mend it, leave out the row, or fill: --missing fill (such cells are: {found})"
        file.refuse(lacking.name, lacking.missing, "a value, as --missing refuse says", remedy)
