"""Is a table the same whatever it is written in: CSV, Parquet, a frame of pandas, a frame of polars?"""

import datetime
import decimal
import importlib.util
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minnet import Dataset
from minnet.data.frames import from_frame
from minnet.data.table import Table
from minnet.data.tables import read_table

pandas: Any = pytest.importorskip("pandas")
MAKERS = ["pandas", *(["polars"] if importlib.util.find_spec("polars") else [])]
PENGUINS: dict[str, list[Any]] = {
    "island": ["Biscoe", None, "Dream", "Biscoe"],
    "mass": [3750.0, None, 3250.5, 4000.0],
    "year": [2007, 2008, 2009, 2007],
    "tagged": [True, False, True, True],
    "seen": [datetime.date(2007, 11, 11), datetime.date(1969, 12, 31), None, datetime.date(2009, 1, 2)],
    "code": ["01", "2", "3", "2"],
    "species": ["Adelie", "Gentoo", None, "Adelie"],
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def frame_of(maker: str, columns: dict[str, list[Any]]) -> Any:
    """Make a frame of pandas or polars."""
    return pytest.importorskip(maker).DataFrame(columns)


def columns_of(table: Table) -> dict[str, tuple[str, list[Any]]]:
    """Return the kind and the cells of each column, None where one is missing."""
    found = {}
    for column in table.columns:
        cells = column.values.tolist() if column.words is None else column.texts()
        missing = column.missing.tolist()
        found[column.name] = column.kind, [None if no else cell for cell, no in zip(cells, missing, strict=True)]
    return found


@pytest.mark.parametrize("maker", MAKERS)
def test_typed_columns_keep_their_type(maker: str) -> None:
    table = from_frame(frame_of(maker, PENGUINS), "species", name="penguins", keep=["seen", "year", "species"])
    assert columns_of(table) == {
        "island": ("category", ["Biscoe", None, "Biscoe"]),
        "mass": ("number", [3750, None, 4000]),
        "year": ("number", [2007, 2008, 2007]),
        "tagged": ("category", ["true", "false", "true"]),
        "seen": ("date", [13828, -1, 14246]),
        "code": ("number", [1, 2, 2]),
    }
    assert (table.name, table.class_names, table.t.tolist()) == ("penguins", ["Adelie", "Gentoo"], [0, 1, 0])
    assert table.rows.tolist() == [0, 1, 3]
    assert table.notes == ["seen: days", "1 row without a target left out"]
    assert table.kept == {
        "seen": ["2007-11-11", "1969-12-31", "2009-01-02"],
        "year": ["2007", "2008", "2007"],
        "species": ["Adelie", "Gentoo", "Adelie"],
    }


def test_types_that_only_pandas_has_are_read() -> None:
    frame = pandas.DataFrame(
        {
            "n": pandas.array([1, None, 3], dtype="Int64"),
            "flag": pandas.array([True, None, False], dtype="boolean"),
            "level": pandas.Categorical(["1", None, "2"]),
            "zone": pandas.to_datetime(["2024-05-01T12:00", None, "2024-05-02T00:00"]).tz_localize("Europe/Berlin"),
            "mixed": ["a", 1, None],
            3: [0.5, math.nan, 1.5],
            "y": ["p", "q", "q"],
        }
    )
    table = from_frame(frame, "y", categorical=["mixed"])
    assert columns_of(table) == {
        "n": ("number", [1, None, 3]),
        "flag": ("category", ["true", None, "false"]),
        "level": ("category", ["1", None, "2"]),
        "zone": ("date", [19844 + 10 / 24, None, 19844 + 22 / 24]),
        "mixed": ("category", ["a", "1", None]),
        "3": ("number", [0.5, None, 1.5]),
    }


def test_a_model_gets_what_it_was_trained_on_from_any_order_of_columns() -> None:
    frame = pandas.DataFrame({"b": [True, False], "a": [1, 2], "c": ["2024-05-01", None], "d": [1, 2]})
    wanted = [("a", "category"), ("b", "number"), ("c", "date")]
    table = from_frame(frame, labelled=False, columns=wanted)
    assert columns_of(table) == {
        "a": ("category", ["1", "2"]),
        "b": ("number", [1, 0]),
        "c": ("date", [19844, None]),
    }
    assert table.ignored == ["d"]
    assert table.t is None


def test_what_is_no_frame_or_no_table_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"^frame: expected a data frame of pandas, polars or the like, in memory, got b"
    ):
        from_frame([1, 2], "y")
    two = pandas.DataFrame({"a": ["x", "y"], "b": [1, 2]})
    with pytest.raises(TypeError, match=r"^frame: expected the name of the target's column, got Series; .*assign\("):
        from_frame(two, two["a"])
    with pytest.raises(TypeError, match=r"not all columns of the frame are numbers: use Dataset\.from_frame\(frame, t"):
        Dataset.from_arrays(two, np.arange(2))
    frame = pandas.DataFrame({"a": [1, math.inf], "b": [[1], [2]], "c": ["1", "x"], "y": ["p", "q"]})
    for ignore, message in (
        (["b", "c"], "^mine: column 'a', row 2: expected a number that float64 can hold, got 'inf'"),
        (["a", "b"], "^mine: column 'c', row 2: expected a number, as 1 of 2 cells are, got 'x'"),
        (["a", "b", "c"], "^mine: no column is left for the features"),
    ):
        with pytest.raises(ValueError, match=message):
            from_frame(frame, "y", name="mine", ignore=ignore)
    with pytest.raises(ValueError, match=r"^frame: column 'a' holds Duration"):
        from_frame(pandas.DataFrame({"a": pandas.to_timedelta([1, 2]), "y": ["p", "q"]}), "y")
    with pytest.raises(ValueError, match=r"^frame: which column is the target"):
        from_frame(frame)
    with pytest.raises(ValueError, match=r"^frame: there is no row"):
        from_frame(frame[:0], "y", ignore=["b"])
    with pytest.raises(ValueError, match=r"^frame: not a data frame that can be read \(.*'a' 2 times"):
        from_frame(pandas.DataFrame([[1, 2]], columns=["a", "a"]), labelled=False)


def test_types_that_only_polars_has_are_read() -> None:
    polars: Any = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {
            "a": [2**60, None],
            "none": [None, None],
            "exact": [decimal.Decimal("1.5"), None],
            "level": polars.Series(["1", "2"], dtype=polars.Enum(["2", "1"])),
            "zone": [datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), None],
            "kind": ["p", "q"],
        }
    )
    table = from_frame(frame, "kind", keep=["a"])
    assert columns_of(table) == {
        "a": ("number", [2**60, None]),
        "exact": ("number", [1.5, None]),
        "level": ("category", ["1", "2"]),
        "zone": ("date", [19723, None]),
    }
    assert table.kept == {"a": [str(2**60), ""]}
    assert table.notes == ["none left out: no cell has a value", "zone: days"]
    with pytest.raises(TypeError, match=r"in memory, got polars\.lazyframe\.frame\.LazyFrame$"):
        from_frame(frame.lazy(), "kind")


WORDS = st.sampled_from(["a", "B", " c", "é", "x,y", 'q"', "x;y"])
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "integer": st.integers(-(10**9), 10**9),
    "word": WORDS,
    "truth": st.booleans(),
    "date": st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)),
    "moment": st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)),
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Draw columns of all kinds, with missing cells, each with at least one that is not."""
    N = draw(st.integers(2, 6))
    columns = {}
    for name, cells in CELLS.items():
        optional = cells if name in ("integer", "truth") else st.none() | cells
        columns[name] = [draw(cells), *(draw(optional) for _ in range(N - 1))]
    columns["kind"] = ["p", *(draw(st.sampled_from(["p", "q", None])) for _ in range(N - 1))]
    return columns


@settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=tables(), delimiter=st.sampled_from(",;\t|"), marker=st.sampled_from(["", "NA", " nan", "null", "?"]))
def test_a_table_is_the_same_whatever_it_is_written_in(
    columns: dict[str, list[Any]], delimiter: str, marker: str
) -> None:
    frame = pandas.DataFrame(columns)
    frame.to_csv("my.csv", sep=delimiter, na_rep=marker, index=False, date_format="%Y-%m-%dT%H:%M:%S.%f")
    made = [from_frame(frame_of(maker, columns), "kind") for maker in MAKERS]
    made.append(read_table("my.csv", "kind"))
    if importlib.util.find_spec("pyarrow"):
        frame.to_parquet("my.parquet")
        made.append(read_table("my.parquet", "kind"))
    first = columns_of(made[0])
    assert {name: kind for name, (kind, _) in first.items()} == {
        "number": "number", "integer": "number", "word": "category", "truth": "category", "date": "date",
        "moment": "date",
    }  # fmt: skip
    for table in made[1:]:
        assert columns_of(table) == first
        assert table.t.tolist() == made[0].t.tolist()
        assert table.rows.tolist() == made[0].rows.tolist()
        assert table.notes == made[0].notes


def test_a_frame_that_was_written_with_its_index_is_the_same_without_it() -> None:
    frame = pandas.DataFrame({name: cells for name, cells in PENGUINS.items() if name != "seen"})
    stream = io.StringIO()
    frame.to_csv(stream)
    Path("my.csv").write_text(stream.getvalue(), encoding="utf-8")
    table = read_table("my.csv", "species")
    assert columns_of(table) == columns_of(from_frame(frame, "species"))
    assert table.notes[0] == "first column left out: an index"
    again = from_frame(pandas.read_csv("my.csv", dtype={"code": str}), "species")
    assert columns_of(again) == columns_of(table)
    assert again.notes == table.notes
    np.testing.assert_array_equal(again.t, table.t)


def test_a_type_that_no_library_knows_is_refused() -> None:
    frame = pandas.DataFrame({"a": range(9), "y": [*"uvwuvwuvw"]})
    frame["raw"] = np.zeros(9, "V4")
    with pytest.raises(ValueError, match="frame: column 'raw' cannot be read; code it otherwise, or ignore it"):
        from_frame(frame, "y")
    assert len(from_frame(frame, "y", ignore=["raw"]).columns) == 1
