"""How are data frames read? Those of pandas, polars and others, by narwhals, which scikit-learn brings."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from minnet.data.columns import Column, Source, of_texts
from minnet.data.table import Table
from minnet.data.tables import make_table
from minnet.support.files import readable
from minnet.support.machine import check_memory
from minnet.support.stack import Array
from minnet.support.text import one_line

DAY = 86_400_000_000  # microseconds


class Frame(Source):
    """A data frame, as its columns; an index, which only frames of pandas have, is none of them."""

    def __init__(self, frame: Any, name: str) -> None:
        import narwhals as nw

        try:
            narwhal = nw.from_native(frame, eager_only=True)
            series = [*narwhal.iter_columns()]
        except TypeError:
            got = f"{type(frame).__module__}.{type(frame).__qualname__}"
            expected = "expected a data frame of pandas, polars or the like, in memory"
            raise TypeError(f"{name}: {expected}, got {got:.80}") from None
        except Exception as error:  # each library has its own
            raise ValueError(f"{name}: not a data frame that can be read ({one_line(error)})") from None
        super().__init__(name)
        self.names = [str(each.name).strip() or f"Unnamed: {j}" for j, each in enumerate(series)]
        self.series = dict(zip(self.names, series, strict=True))
        kinds = nw.Categorical | nw.Enum
        self.categories = [each for each, column in self.series.items() if isinstance(column.dtype, kinds)]
        self.n_rows = len(narwhal)

    def load(self, names: Sequence[str], texts: Collection[str]) -> list[Column]:
        """Read columns: those of texts and of words as they are, of dates as days, and of the others as numbers."""
        check_memory(f"{self.path}: reading it", 8 * self.n_rows * len(names))
        return [self._column(name, name in texts) for name in names]

    def _column(self, name: str, text: bool) -> Column:
        """Make a column of one of the frame's."""
        import narwhals as nw

        series = self.series[name]
        dtype = series.dtype
        if not text and dtype.is_numeric():
            return Column(name, to_floats(series))
        if not text and isinstance(dtype, nw.Date | nw.Datetime):
            moments = series.cast(nw.Datetime("us")) if isinstance(dtype, nw.Date) else series
            return Column(name, to_floats(moments.dt.timestamp("us")) / DAY, date=True)
        if dtype.is_nested() or isinstance(dtype, nw.Duration | nw.Time | nw.Binary):
            expected = "expected numbers, text or dates; code it so, or ignore it"
            raise ValueError(f"{self.path}: column {name!r:.60} holds {dtype!s:.60}, {expected}")
        with readable(f"{self.path}: column {name!r:.60} cannot be read; code it otherwise, or ignore it"):
            pairs = [*zip(series.to_list(), series.is_null().to_list(), strict=True)]
        return of_texts(name, ["" if none or cell != cell else str(cell) for cell, none in pairs])

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a cell of a column: where it is, and what it says."""
        value = self.series[name].to_list()[row]
        return f"{self.path}: column {name!r:.60}, row {row + 1}", str(value).strip()


def to_floats(series: Any) -> Array:
    """Convert a series of numbers to float64, NaN where there is none."""
    import narwhals as nw

    return np.asarray(series.cast(nw.Float64).to_numpy(), np.float64)


def from_frame(frame: Any, target: Any = None, *, name: str = "frame", **options: Any) -> Table:
    """Read a data frame by the rules by which files are read.

    Parameters
    ----------
    frame : data frame
        Of pandas, polars, or any other that narwhals reads, in memory.
    target : str, optional
        The column of labels.
    name : str, default "frame"
        What to call it, also in messages.
    **options
        Those of `minnet.data.tables.make_table`.

    Raises
    ------
    TypeError
        If it is no data frame, or the target no name.
    ValueError
        If it is not a table with what was asked for.
    """
    if target is not None and not isinstance(target, str):
        got = type(target).__name__
        remedy = "if it is a column of its own, put it into the frame: frame.assign(target=…)"
        raise TypeError(f"{name}: expected the name of the target's column, got {got:.80}; {remedy}")
    return make_table(Frame(frame, name), name, target, **options)
