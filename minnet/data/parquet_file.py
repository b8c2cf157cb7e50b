"""How is a Parquet file read? By pyarrow, which minnet runs without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minnet.support.text import one_line

Array = npt.NDArray[Any]


class ParquetFile:
    """A Parquet file of columns, read by pyarrow.

    Columns that once were a data frame's index are listed as ignored, and texts are read as numbers of a dictionary, so
    that a small file stays small.
    """

    def __init__(self, path: str) -> None:
        try:
            import pyarrow.parquet
        except ImportError:
            raise ValueError(f"reading {path} needs pyarrow: pip install pyarrow") from None
        self.path, self.types = path, pyarrow.types
        try:
            file = pyarrow.parquet.ParquetFile(path)
            schema, self.n_rows = file.schema_arrow, file.metadata.num_rows
            self.kinds = {field.name.strip(): field.type for field in schema}
            self.names = [name.strip() for name in schema.names]
            self.hidden = [str(name).strip() for name in (schema.pandas_metadata or {}).get("index_columns", ())]
            text = [name for name in schema.names if self.is_text(self.kinds[name.strip()])]
            self.file = pyarrow.parquet.ParquetFile(path, read_dictionary=text)
        except Exception as error:  # of any kind: pyarrow documents none of what a damaged file may raise
            raise ValueError(f"{path}: not a Parquet file that can be read ({one_line(error)})") from None

    def is_text(self, kind: Any) -> bool:
        """Tell whether a column's type is text."""
        return bool(self.types.is_string(kind) or self.types.is_large_string(kind))

    def is_number(self, kind: Any) -> bool:
        """Tell whether a column's type is one of numbers, of which true and false are two."""
        return bool(self.types.is_boolean(kind) or self.types.is_integer(kind) or self.types.is_floating(kind))

    def load(self, names: Sequence[str], label: str | None) -> tuple[Array, Sequence[Any]]:
        """Read columns of numbers (N, D), with nan wherever there is none, and a column of labels, None for none."""
        for name in names:
            kind = self.kinds[name]
            if not (self.is_number(kind) or self.types.is_decimal(kind) or self.types.is_null(kind)):
                leave_out = f"leave it out with --ignore {name!r:.60}, or code it as numbers"
                raise ValueError(
                    f"{self.path}: column {name!r:.60} holds {one_line(kind):.60}, expected numbers; {leave_out}"
                )
        if label is not None:
            kind = self.kinds[label]
            kind = kind.value_type if self.types.is_dictionary(kind) else kind
            if not (self.is_number(kind) or self.is_text(kind)):
                raise ValueError(
                    f"{self.path}: column {label!r:.60} holds {one_line(kind):.60}, expected labels: text or integers"
                )
        wanted = {*names, *([] if label is None else [label])}
        try:
            originals = [name for name in self.file.schema_arrow.names if name.strip() in wanted]
            self.table = self.file.read(columns=originals, use_threads=False)
            self.table = self.table.rename_columns([name.strip() for name in self.table.column_names])
            self.table.validate(full=True)
            if self.table.num_rows != self.n_rows or set(self.table.column_names) != wanted:
                raise ValueError("it holds something else than it says")
        except Exception as error:  # as above
            raise ValueError(f"{self.path}: the file is damaged ({one_line(error)})") from None
        numbers = np.empty((self.n_rows, len(names)))
        for j, name in enumerate(names):
            numbers[:, j] = self.table.column(name).cast("float64", safe=False).to_numpy()
        return numbers, [] if label is None else self._labels(self.table.column(label))

    def _labels(self, column: Any) -> list[Any]:
        """Make a list of a column, in which rows share their text: each is made once."""
        if not self.types.is_dictionary(column.type):
            return list(column.to_pylist())
        values = []
        for chunk in column.chunks:
            words = chunk.dictionary.to_pylist()
            values += [None if i is None else words[i] for i in chunk.indices.to_pylist()]
        return values

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a cell of a column: its row, and what it says."""
        value = self.table.column(name)[row].as_py()
        return f"row {row + 1}", "" if value is None else str(value)
