"""What is in a user's file, and can a network be trained on it? CSV, Parquet and NumPy arrays become a table.

A file is checked before it is believed: whatever is in it, either a table of finite numbers comes out, or an error of
one line that names the file, the column or array, and the row. Nothing in a file can run code.
"""

from __future__ import annotations

import csv
import importlib
import io
import itertools
import math
import re
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minnet.support.machine import free_memory
from minnet.support.text import listed, one_line

Array = npt.NDArray[Any]

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
COLUMNS = 100_000  # of a CSV, at most: pandas takes seconds for so many, and minutes for a million
HEADER = 1000  # bytes of an .npy's, at most: arrays of numbers need 128, and some of 10,000 keep NumPy busy for 20 s
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
NOT_FINITE = re.compile(r"[+-]?(nan|inf(inity)?)", re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"([+-]?[0-9]+),([0-9]+)")


@dataclass(frozen=True, eq=False)
class Table:
    """What a file holds, as far as it was asked for.

    Attributes
    ----------
    name : str
        The file's name, without folder and ending.
    x : array of shape (N, D), float64
        The features, finite.
    labels : array of shape (N,), or None
        The target, as str; None if it was not asked for.
    weights : array of shape (N,), float64, or None
        How much each row counts: finite, at least 0, not all 0. None if they were not asked for.
    feature_names : tuple of str
        D names; of arrays "x0", "x1", …
    ignored : tuple of str
        The columns or arrays of the file that were not used.
    """

    name: str
    x: Array
    labels: Array | None
    weights: Array | None
    feature_names: tuple[str, ...]
    ignored: tuple[str, ...]


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
    weights: str | None = None,
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
    weights : str, optional
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
        return read_arrays(path, target, labelled, features, ignore, weights)
    check_file(path)
    file = ParquetFile(path) if ending == "parquet" else CSVFile(path, features)
    check_names(path, "column", file.names)
    if file.n_rows < 1:
        raise ValueError(f"{path}: there is a header, but no row")
    if labelled and target is None:
        raise ValueError(f"{path}: which column is the target? Name it with --target; there are: {listed(file.names)}")
    label = [target] if labelled and target is not None else []
    weight = [] if weights is None else [weights]
    roles = {"target": label, "weights": weight, "ignore": ignore, "features": features or ()}
    check_roles(path, "column", file.names, roles)
    ignorable = features is None
    if features is None:
        used = {target, weights, *ignore, *file.hidden}
        features = [name for name in file.names if name not in used]
    if not features:
        raise ValueError(f"{path}: no column is left for the features; there are: {listed(file.names)}")
    check_memory(path, 16 * file.n_rows * (len(features) + 6))  # a label is an object of Python
    file.load([*features, *weight], label)

    x, w, labels = np.empty((file.n_rows, len(features))), None, None
    for j, name in enumerate(features):
        x[:, j] = file.numbers(name)
    unusable = {name: int((~np.isfinite(x[:, j])).sum()) for j, name in enumerate(features)}
    check_cells(file, {name: count for name, count in unusable.items() if count}, needed=not ignorable)
    if weights is not None:
        w = file.numbers(weights)
        check_cells(file, {weights: count} if (count := int((~np.isfinite(w)).sum())) else {}, needed=True)
        if (w < 0).any():
            where, cell = file.cell(weights, int(np.argmax(w < 0)))
            raise ValueError(f"{path}: column {weights!r}, {where}: expected a weight of at least 0, got {cell}")
        if not w.any():
            raise ValueError(f"{path}: column {weights!r}: the weights are all 0, so that nothing would count")
    if label:
        labels = label_array(
            file.labels(label[0]), lambda i: f"{path}: column {label[0]!r}, {file.cell(label[0], i)[0]}"
        )
    kept = {*features, *label, *weight}
    return Table(Path(path).stem, x, labels, w, tuple(features), tuple(n for n in file.names if n not in kept))


class CSVFile:
    """A text file of columns, read by pandas after Python's csv module has found the same number of cells in each row.

    pandas alone would fill short rows up, skip blank lines, and take the first column of long rows for an index.
    """

    hidden: Sequence[str] = ()

    def __init__(self, path: str, features: Sequence[str] | None) -> None:
        self.path = path
        need("pandas", path)
        self.data = Path(path).read_bytes()
        if self.data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ValueError(f"{path}: is UTF-16: save it as UTF-8 (in Excel: CSV UTF-8)")
        self.data = self.data.removeprefix(b"\xef\xbb\xbf")
        if (at := self.data.find(b"\0")) >= 0:
            raise ValueError(f"{path}: line {self._line(at)} has a NUL byte: is this a text file?")
        try:
            self.data.decode()
        except UnicodeDecodeError as error:
            byte = f"byte 0x{self.data[error.start]:02x}"
            raise ValueError(f"{path}: line {self._line(error.start)}: {byte} is not UTF-8: save it as UTF-8") from None
        self.delimiter = self._find_delimiter(features)
        self.names = [name.strip() for name in next(self._rows())[1]]
        if all(NUMBER.fullmatch(name) for name in self.names):
            raise ValueError(f"{path}: the first line holds only numbers: expected a header")
        if len(self.names) > COLUMNS:
            raise ValueError(f"{path}: has {len(self.names)} columns, at most {COLUMNS} are read: save it as an .npz")
        self.n_rows, blank = 0, None
        for line, cells in itertools.islice(self._rows(), 1, None):
            if len(cells) < 2 and not any(cells):
                blank = blank or line
                continue
            if blank is not None:
                raise ValueError(f"{path}: line {blank} is blank: only lines at the end may be")
            self.n_rows += 1
            if len(cells) != len(self.names):
                raise ValueError(
                    f"{path}: row {self.n_rows} (line {line}): expected {len(self.names)} cells, as the header has, "
                    f"got {len(cells)}"
                )

    def _line(self, at: int) -> int:
        """Find the number of a byte's line."""
        return self.data.count(b"\n", 0, at) + 1

    def _rows(self, delimiter: str | None = None) -> Iterator[tuple[int, list[str]]]:
        """Go through the rows, the header first, each with the number of its first line."""
        lines = io.TextIOWrapper(io.BytesIO(self.data), encoding="utf-8", newline="")
        rows = csv.reader(lines, delimiter=delimiter or self.delimiter, skipinitialspace=True, strict=True)
        line = 1
        try:
            for cells in rows:
                yield line, cells
                line = rows.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{self.path}: line {line}: the cells cannot be told apart ({error})") from None

    def _find_delimiter(self, features: Sequence[str] | None) -> str:
        """Choose what gives the first rows the same number of cells, above 1; if nothing does, what gives the most."""
        found, problem = [], None
        for delimiter in DELIMITERS:
            try:
                widths = [len(cells) for _, cells in itertools.islice(self._rows(delimiter), 20)]
            except ValueError as error:  # quotes that make no sense with this delimiter may with another
                problem = error
                continue
            if not widths:
                raise ValueError(f"{self.path}: the file is empty")
            if widths[0] == 0:
                raise ValueError(f"{self.path}: line 1 is blank: expected a header")
            if widths[0] > 1:
                found.append((len({n for n in widths if n}) == 1, widths[0], delimiter))
        if found:
            return max(found)[2]
        if features is not None and len(features) == 1:
            return ","
        names = ", ".join(DELIMITERS.values())
        raise problem or ValueError(f"{self.path}: there is only one column: expected cells parted by one of {names}")

    def load(self, names: Sequence[str], label: Sequence[str]) -> None:
        """Read columns of numbers, and of labels."""
        pandas = need("pandas", self.path)
        # From 3.1 on pandas always rounds as Python does, and warns if told to.
        exact = tuple(map(int, pandas.__version__.split(".")[:2])) >= (3, 1)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.frame = pandas.read_csv(
                    io.BytesIO(self.data), sep=self.delimiter, header=0, names=self.names, index_col=False,
                    usecols=[*names, *label], dtype=dict.fromkeys(label, str), engine="c", encoding="utf-8",
                    na_values=[""], keep_default_na=False, skipinitialspace=True, low_memory=False, nrows=self.n_rows,
                    **({} if exact else {"float_precision": "round_trip"}),
                )  # fmt: skip
        except Exception as error:  # of any kind: a file may be wrong in more ways than pandas documents
            raise ValueError(f"{self.path}: pandas cannot read it ({one_line(error)})") from None
        if len(self.frame) != self.n_rows:
            raise ValueError(f"{self.path}: pandas finds {len(self.frame)} rows, but the file has {self.n_rows}")

    def numbers(self, name: str) -> Array:
        """Give a column as float64, with nan wherever there is no number."""
        column = self.frame[name]
        if column.dtype.kind in "biuf":
            return np.asarray(column, dtype=np.float64)
        return np.array([to_number(value) for value in column], dtype=np.float64)

    def labels(self, name: str) -> list[Any]:
        """Give a column of labels, with nan where one is missing."""
        return list(self.frame[name])

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a cell in the file: its row and line, and what it says."""
        line, cells = next(itertools.islice(self._rows(), row + 1, None))
        return f"row {row + 1} (line {line})", cells[self.names.index(name)].strip()


class ParquetFile:
    """A Parquet file of columns, read by pyarrow.

    Not by pandas, which would make Python's strings of every cell, and hide the columns that once were an index. Here
    those are listed as ignored, and texts are read as numbers of a dictionary, so that a small file stays small.
    """

    def __init__(self, path: str) -> None:
        self.path, self.arrow = path, need("pyarrow", path)
        parquet = need("pyarrow.parquet", path)
        try:
            file = parquet.ParquetFile(path)
            schema, self.n_rows = file.schema_arrow, file.metadata.num_rows
            self.types = {field.name.strip(): field.type for field in schema}
            self.names = [name.strip() for name in schema.names]
            self.hidden = [str(name).strip() for name in (schema.pandas_metadata or {}).get("index_columns", ())]
            is_text = (self.arrow.types.is_string, self.arrow.types.is_large_string)
            self.text = [name for name, kind in self.types.items() if any(test(kind) for test in is_text)]
            self.file = parquet.ParquetFile(path, read_dictionary=[n for n in schema.names if n.strip() in self.text])
        except Exception as error:  # of any kind: pyarrow documents none of what a damaged file may raise
            raise ValueError(f"{path}: not a Parquet file that can be read ({one_line(error)})") from None

    def load(self, names: Sequence[str], label: Sequence[str]) -> None:
        """Read columns of numbers, and of labels."""
        test = self.arrow.types
        plain = (test.is_boolean, test.is_integer, test.is_floating)
        for name in (*names, *label):
            kind = self.types[name]
            if name in label:
                kind = kind.value_type if test.is_dictionary(kind) else kind
                tests, expected = (*plain, test.is_string, test.is_large_string), "labels: text or whole numbers"
            else:
                tests = (*plain, test.is_decimal, test.is_null)
                expected = f"numbers; leave it out with --ignore {name!r:.60}, or code it as numbers"
            if not any(fits(kind) for fits in tests):
                raise ValueError(f"{self.path}: column {name!r:.60} holds {one_line(kind):.60}, expected {expected}")
        wanted = {*names, *label}
        try:
            originals = [name for name in self.file.schema_arrow.names if name.strip() in wanted]
            self.table = self.file.read(columns=originals, use_threads=False)
            self.table = self.table.rename_columns([name.strip() for name in self.table.column_names])
            self.table.validate(full=True)
            if self.table.num_rows != self.n_rows or set(self.table.column_names) != wanted:
                raise ValueError("it holds something else than it says")
        except Exception as error:  # as above
            raise ValueError(f"{self.path}: the file is damaged ({one_line(error)})") from None

    def numbers(self, name: str) -> Array:
        """Give a column as float64, with nan wherever there is no number."""
        return np.asarray(self.table.column(name).cast("float64", safe=False).to_numpy())

    def labels(self, name: str) -> list[Any]:
        """Give a column of labels, with None where one is missing."""
        column = self.table.column(name)
        if not self.arrow.types.is_dictionary(column.type):
            return list(column.to_pylist())
        values = []
        for chunk in column.chunks:  # rows share their text: each is made once
            words = chunk.dictionary.to_pylist()
            values += [None if i is None else words[i] for i in chunk.indices.to_pylist()]
        return values

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a cell of a column: its row, and what it says."""
        value = self.table.column(name)[row].as_py()
        return f"row {row + 1}", "" if value is None else str(value)


def check_cells(file: CSVFile | ParquetFile, unusable: Mapping[str, int], needed: bool) -> None:
    """Raise a ValueError that tells of columns with cells that are no finite numbers, by name and number of them."""
    if not unusable:
        return
    name, count = next(iter(unusable.items()))
    where, cell = file.cell(name, int(np.argmax(~np.isfinite(file.numbers(name)))))
    comma = DECIMAL_COMMA.fullmatch(cell)
    if not cell:
        problem = "the value is missing; fill it in, or remove the row"
    elif NOT_FINITE.fullmatch(cell) or NUMBER.fullmatch(cell):
        problem = f"expected a finite number that float64 can hold, got {cell:.60}"
    elif comma:
        problem = f"expected a number, got {cell!r:.60}; write a decimal point: {f'{comma[1]}.{comma[2]}':.60}"
    else:
        problem = f"expected a number, got {cell!r:.60}"
        if not needed:  # all columns of text at once
            text = [each for each, n in unusable.items() if each == name or (2 * n > file.n_rows and "," not in each)]
            out = "the column" if len(text) == 1 else "such columns"
            problem += f"; leave {out} out with --ignore {','.join(text[:12])!r:.200}, or code it as numbers"
    if count > 1:
        problem += f" ({count} cells of this column cannot be used)"
    if len(unusable) > 1:
        others = [f"{each!r:.60} ({n} cells)" for each, n in list(unusable.items())[1:7]]
        problem += f"; nor can cells of {', '.join(others)}" + (" and others" if len(unusable) > 7 else "")
    raise ValueError(f"{file.path}: column {name!r:.60}, {where}: {problem}")


def to_number(value: object) -> float:
    """Convert one cell of what pandas did not take for a column of numbers; nan if it is none."""
    if isinstance(value, str):
        return float(value) if NUMBER.fullmatch(value := value.strip()) else math.nan
    if isinstance(value, bool | int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return math.nan


def label_array(values: Collection[Any], place: Callable[[int], str]) -> Array:
    """Make text of labels, whole numbers without a point; ``place`` says where a row is that has none."""
    labels = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        elif isinstance(value, float) and not math.isnan(value):
            raise ValueError(f"{place(i)}: expected a label, text or a whole number, got {value}")
        labels[i] = "" if value is None or isinstance(value, float) else str(value).strip()
        if not labels[i]:
            raise ValueError(f"{place(i)}: the label is missing")
    return labels


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
        found = set(values)
        if len(found) < 2:
            raise ValueError(f"the only class is {listed(found)}: expected at least two")
        if all(NUMBER.fullmatch(label) for label in found):
            if len(values) > 20 and len(found) > len(values) / 2:
                raise ValueError(
                    f"the target has {len(found)} different numbers in {len(values)} rows: it looks like a quantity to "
                    "predict, and minnet trains classifiers"
                )
            class_names = sorted(found, key=lambda label: (float(label), label))
        else:
            class_names = sorted(found)
    number = {name: k for k, name in enumerate(class_names)}
    for row, label in enumerate(values, 1):
        if label not in number:
            known = listed(class_names, label)
            raise ValueError(f"row {row}: unknown class {label!r:.60}; the classes are: {known}")
    return np.array([number[label] for label in values], dtype=np.int64), tuple(class_names)


def read_arrays(
    path: str,
    target: str | None,
    labelled: bool,
    features: Sequence[str] | None,
    ignore: Sequence[str],
    weights: str | None,
) -> Table:
    """Read an .npz, a pair of .npy or a single one, as `read_table` does."""
    pair = path.split(",")
    if path.lower().endswith(".npz"):
        check_file(path)
        wanted = {"x": "x"} | ({"y": target or "y"} if labelled else {}) | ({} if weights is None else {"w": weights})
        arrays, names = read_npz(path, wanted, ignore)
        places = {role: f"{path}: {name}" for role, name in wanted.items()}
    else:
        if not all(file.lower().endswith(".npy") for file in pair):
            pair = [path]  # a name with a comma in it
        if (target is not None and labelled) or weights is not None or ignore:
            raise ValueError(f"{path}: .npy files hold no names, so that there is no target, weights or ignore to name")
        if len(pair) > 2 or len(pair) < 1 + labelled:
            raise ValueError(f"{path}: expected a pair x.npy,y.npy, of samples and their labels")
        wanted, names = dict(zip("xy" if labelled else "x", pair, strict=False)), pair
        places = {role: f"{file}: {role}" for role, file in wanted.items()}
        arrays = {}
        for role, file in wanted.items():
            check_file(file)
            arrays[role] = read_array(Path(file).read_bytes(), places[role])

    x = arrays["x"]
    if x.ndim != 2:
        raise ValueError(f"{places['x']} has shape {x.shape}: expected (N, D)")
    if features is not None and x.shape[1] != len(features):
        raise ValueError(f"{places['x']} has {x.shape[1]} features, expected {len(features)}")
    check_memory(path, 8 * x.size + 64 * len(x))
    for role, place in places.items():
        if role != "x" and arrays[role].shape != x.shape[:1]:
            raise ValueError(f"{place} has shape {arrays[role].shape}, expected {x.shape[:1]}: one for each row of x")
        if role != "y":
            arrays[role] = finite(arrays[role], place, at_least=0 if role == "w" else -math.inf)
    if "w" in arrays and not arrays["w"].any():
        raise ValueError(f"{places['w']}: the weights are all 0, so that nothing would count")
    labels = array_labels(arrays["y"], places["y"]) if labelled else None
    ignored = tuple(name for name in names if name not in wanted.values())
    feature_names = tuple(f"x{i}" for i in range(x.shape[1]))
    return Table(Path(pair[0]).stem, arrays["x"], labels, arrays.get("w"), feature_names, ignored)


def read_npz(path: str, wanted: Mapping[str, str], ignore: Sequence[str]) -> tuple[dict[str, Array], list[str]]:
    """Read some arrays of an .npz, by role, and the names of all."""
    with open(path, "rb") as stream:
        try:
            archive = zipfile.ZipFile(stream)
            entries = archive.infolist()
        except Exception as error:  # of any kind: zipfile documents few of those that a damaged file raises
            raise ValueError(f"{path}: not an .npz that can be read ({one_line(error)})") from None
        names = [entry.filename.removesuffix(".npy") for entry in entries]
        check_names(path, "array", names)
        check_roles(path, "array", names, {**{role: [name] for role, name in wanted.items()}, "ignore": ignore})
        arrays = {}
        for role, name in wanted.items():
            entry, place = entries[names.index(name)], f"{path}: {name}"
            if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{place} is encrypted or compressed in an unusual way: expected what np.savez writes")
            if max(entry.file_size, entry.compress_size) > free_memory() / 4:
                raise ValueError(f"{place} would fill more than a quarter of the free memory: {entry.file_size} bytes")
            try:
                with archive.open(entry) as member:
                    data = member.read(entry.file_size)
            except Exception as error:  # as above
                raise ValueError(f"{place} is damaged ({one_line(error)})") from None
            arrays[role] = read_array(data, place)
    return arrays, names


def read_array(data: bytes, place: str) -> Array:
    """Read what is in an .npy, believing its header only as far as there are bytes."""
    stream = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=HEADER)
            elif version == (2, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream, max_header_size=HEADER)
            else:
                raise ValueError(f"unknown version {version}")
    except Exception as error:  # of any kind: the header is Python source, and parsing it may fail in all its ways
        raise ValueError(f"{place} is not a NumPy array that can be read ({one_line(error)})") from None
    if dtype.hasobject:
        raise ValueError(f"{place} holds Python objects, which could run code: expected numbers or text")
    if dtype.kind not in "biufSU" or dtype.itemsize == 0:
        raise ValueError(f"{place} holds {dtype!s:.60}, expected numbers or text")
    if not 1 <= len(shape) <= 2 or min(shape) < 1:
        raise ValueError(f"{place} has shape {shape!s:.60}: expected one or two axes, none of length 0")
    rest = len(data) - stream.tell()
    if math.prod(shape) * dtype.itemsize != rest:
        raise ValueError(f"{place} is damaged: there are {rest} bytes for shape {shape!s:.60} of {dtype}")
    flat: Array = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def finite(array: Array, place: str, at_least: float) -> Array:
    """Return numbers as float64, or say which is none that will do."""
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{place} holds {array.dtype}, expected numbers")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float64, order="C")
    bad = ~(np.isfinite(numbers) & (numbers >= at_least))
    if bad.any():
        index = tuple(int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
        expected = "a finite number" + (f" of at least {at_least}" if at_least == 0 else "")
        raise ValueError(f"{place}{list(index)} is {numbers[index]}: expected {expected}")
    return numbers


def array_labels(array: Array, place: str) -> Array:
    """Make text of an array of labels."""
    try:
        if array.dtype.kind == "S":
            array = np.strings.decode(array, "utf-8")
        values = array.astype(np.float64).tolist() if array.dtype.kind == "f" else array.tolist()
        "".join(values if array.dtype.kind == "U" else ()).encode()
    except Exception as error:  # SystemError, for one, at what is no character
        raise ValueError(f"{place} holds text that is none ({one_line(error)})") from None
    return label_array(values, lambda i: f"{place}[{i}]")


def check_file(path: str) -> None:
    """Raise an error that says why if there is no file to read, or if it is too large."""
    file = Path(path)
    if file.is_dir():
        raise IsADirectoryError(f"{path}: is a folder: expected a file")
    if not file.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not file.is_file():
        raise ValueError(f"{path}: expected a file, and nothing else that has a name")
    with file.open("rb"):
        pass  # what may not be read says so here, whoever reads it later
    if file.stat().st_size > free_memory() / 4:
        raise ValueError(f"{path}: the file would fill more than a quarter of the free memory")


def check_memory(path: str, size: int) -> None:
    """Raise ValueError if less than so many bytes are free."""
    if size > free_memory():
        raise ValueError(f"{path}: reading it would take {size / 1e9:.3g} GB of memory, more than there are")


def check_names(path: str, kind: str, names: Sequence[str]) -> None:
    """Raise ValueError if columns or arrays have no name, or share one."""
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            hint = "; pandas writes its index so: leave it out with index=False" if number == 1 else ""
            raise ValueError(f"{path}: {kind} {number} has no name{hint}")
        if first.setdefault(name, number) != number:
            raise ValueError(f"{path}: {kind}s {first[name]} and {number} have the same name, {name!r:.60}")


def check_roles(path: str, kind: str, names: Sequence[str], roles: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError if a name that was asked for is not there, or was asked for twice."""
    there, taken = set(names), dict[str, str]()
    for role, wanted in roles.items():
        if missing := [name for name in wanted if name not in there]:
            raise ValueError(
                f"{path}: there is no {kind} {listed(missing)}{'' if missing == [role] else f' ({role})'}; there are: "
                f"{listed(names, missing[0])}"
            )
        for name in wanted:
            if name in taken:
                raise ValueError(f"{path}: {kind} {name!r} is asked for twice ({taken[name]}, {role})")
            taken[name] = role


def need(package: str, path: str) -> Any:
    """Import one of the packages that minnet runs without."""
    try:
        return importlib.import_module(package)
    except ImportError:
        missing = package.partition(".")[0]
        raise ValueError(f"reading {path} needs {missing}: pip install {missing}") from None
