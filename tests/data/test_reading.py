"""Is a table read as it comes: with an index, words, dates, missing cells, decimal commas, or half a target?"""

import io
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minnet.data.columns import Column, categories, label_text, of_array, of_texts, to_days, to_numbers
from minnet.data.named import load_raw
from minnet.data.table import Table
from minnet.data.tables import read_table


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(content: str | bytes, target: str | None = "kind", **arguments: Any) -> Table:
    Path("my.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table("my.csv", target, **arguments)


def refused(content: str | bytes, target: str | None = "kind", **arguments: Any) -> str:
    """Return the message with which a file is refused, without its name."""
    with pytest.raises(ValueError, match=r"^my\.csv: ") as caught:
        read(content, target, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("my.csv: ")


def cells_of(table: Table) -> dict[str, list[Any]]:
    """Return what each column says: numbers, or words."""
    return {each.name: each.values.tolist() if each.words is None else each.texts() for each in table.columns}


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "rownames", "ROW_NAMES", "Id", '""'])
@pytest.mark.parametrize("cells", ["123", "abc"])
def test_an_index_is_left_out_and_it_is_said(name: str, cells: str) -> None:
    first, second, third = list(cells)
    table = read(f"{name},a,kind\n{first},1,p\n{second},1,q\n{third},2,p\n")
    assert cells_of(table) == {"a": [1, 1, 2]}
    left = "first column" if name in ("", '""', "Unnamed: 0") else name
    assert table.notes == [f"{left} left out: an index"]


@pytest.mark.parametrize(
    "text",
    [
        "id,a,kind\n1,1,p\n1,1,q\n",  # not all different
        "id,a,kind\n1,1,p\n,1,q\n",  # nor all there
        "ids,a,kind\n1,1,p\n2,1,q\n",  # not called so
        "id,kind\n1,p\n2,q\n",  # nothing else is there
    ],
)
def test_what_may_be_no_index_stays(text: str) -> None:
    table = read(text)
    assert table.columns[0].name.startswith("id")
    assert table.notes == []


def test_an_index_stays_where_it_has_a_use_and_a_later_id_is_a_feature() -> None:
    text = ",a,id,kind\n1,7,3,p\n2,8,4,q\n"
    assert cells_of(read(text)) == {"a": [7, 8], "id": [3, 4]}
    for name in ("", "Unnamed: 0"):
        table = read(text, ignore=[name])
        assert cells_of(table) == {"a": [7, 8], "id": [3, 4]}
        assert table.notes == []
    assert read(text, keep=["Unnamed: 0"]).kept == {"Unnamed: 0": ["1", "2"]}
    table = read(text, group="Unnamed: 0")
    assert table.groups is not None
    assert table.groups.tolist() == [0, 1]
    assert table.feature_names == ["a", "id"]


def test_a_column_without_a_name_gets_the_one_that_pandas_gives_and_an_empty_one_is_left_out() -> None:
    table = read("a,,kind,\n1,2,p,\n3,4,q,\n")
    assert cells_of(table) == {"a": [1, 3], "Unnamed: 1": [2, 4]}
    assert table.notes == ["Unnamed: 3 left out: no cell has a value"]


@pytest.mark.parametrize("marker", ["", " ", "NA", "n/a", "NaN", "null", "None", "?", " na ", '""', '" ? "'])
def test_missing_cells_are_found_in_columns_of_all_kinds(marker: str) -> None:
    table = read(f"a,b,c,kind\n1,x,2024-05-01,p\n{marker},{marker},{marker},q\n3,y,2024-05-02,p\n")
    assert [column.kind for column in table.columns] == ["number", "category", "date"]
    for column in table.columns:
        assert column.missing.tolist() == [False, True, False]
    assert table.columns[1].words == ("x", "y")


def test_many_columns_are_read_in_no_more_than_their_time_and_many_notes_are_one() -> None:
    names = [f"c{i}" for i in range(30_000)]
    started = time.process_time()
    table = read(",".join(["a", *names, "kind"]) + "\n1" + ",NA" * 30_000 + ",p\n2" + "," * 30_001 + "q\n")
    assert table.feature_names == ["a"]
    assert table.notes == ["c0, c1, c2, c3, c4 and 29995 more left out: no cell has a value"]
    assert time.process_time() - started < 5


def test_a_table_of_words_and_missing_cells_has_no_matrix() -> None:
    for text, name in (("a,b,kind\n1,x,p\n2,y,q\n", "b"), ("a,b,kind\n1,2,p\n,1,q\n", "a")):
        table = read(text)
        with pytest.raises(ValueError, match=f"^my: column '{name}' holds words or lacks cells: expected numbers$"):
            _ = table.x
    assert read("a,b,kind\n1,2,p\n3,4,q\n").x.flags.c_contiguous


def test_a_named_data_set_is_a_table_of_the_same_numbers() -> None:
    for name in ("iris", "spiral", "moons"):
        table = load_raw(name)
        assert table.x.shape == (len(table.rows), len(table.columns))
        np.testing.assert_array_equal(np.column_stack([column.values for column in table.columns]), table.x)
        assert [column.name for column in table.columns] == table.feature_names
        some = table.take(np.array([7, 3]))
        np.testing.assert_array_equal(some.x, table.x[[7, 3]])
        np.testing.assert_array_equal(np.column_stack([column.values for column in some.columns]), some.x)
        assert some.rows.tolist() == [7, 3]


def test_words_that_say_the_same_are_one_category() -> None:
    table = read("a,b,c,d,kind\n1,True, x ,yes,p\n1.0,TRUE,x,no,q\n01,false,y,yes,p\n", categorical=["a"])
    assert [column.words for column in table.columns] == [("01", "1"), ("false", "true"), ("x", "y"), ("no", "yes")]
    assert cells_of(table)["a"] == ["1", "1", "01"]


def test_a_column_that_a_model_wants_is_read_as_it_wants_it() -> None:
    text = "c,b,a,kind\n1,2024-05-01,7,p\ntrue,,7.0,q\n"
    wanted = [("a", "category"), ("b", "date"), ("c", "number")]
    table = read(text, columns=wanted)
    assert cells_of(table)["a"] == ["7", "7"]
    assert cells_of(table)["c"] == [1, 1]
    assert [column.kind for column in table.columns] == ["category", "date", "number"]
    assert table.notes == []
    empty = read("a,b,c\n,,\n", None, labelled=False, columns=wanted)
    assert [column.kind for column in empty.columns] == ["category", "date", "number"]
    assert all(column.missing.all() for column in empty.columns)


@pytest.mark.parametrize(
    ("cell", "days"),
    [
        ("1970-01-01", 0),
        ("2024-02-29", 19782),
        ("2024/02/29", 19782),
        ("1969-12-31 12:00", -0.5),
        ("2024-05-01T12:30", 19844 + 12.5 / 24),
        ("2024-05-01T12:30:30", 19844 + 45030 / 86400),
        ("2024-05-01T12:30:30.500Z", 19844 + 45030.5 / 86400),
        ("2024-05-01T00:00+02:00", 19844 - 2 / 24),
    ],
)
def test_dates_are_days(cell: str, days: float) -> None:
    assert to_days(f" {cell} ") == days
    table = read(f"day,kind\n{cell},p\n,q\n")
    assert table.columns[0].date
    assert table.columns[0].values[0] == days
    assert table.notes == ["day: days"]


@pytest.mark.parametrize("cell", ["2024-02-30", "2024-13-01", "01.05.2024", "2024-05", "20240501x", "2024-05-01T25:00"])
def test_what_is_no_date_is_a_word(cell: str) -> None:
    assert cells_of(read(f"day,kind\n{cell},p\n2024-05-01,q\n")) == {"day": [cell, "2024-05-01"]}


COMMAS, GROUPS = ["decimal commas"], ["commas between thousands"]


@pytest.mark.parametrize(
    ("text", "cells", "notes"),
    [
        ("a;b;kind\n3,14;1;p\n-2,5e3;2;q\n", {"a": [3.14, -2500], "b": [1, 2]}, COMMAS),
        ("a\tb\tkind\n3,14\t1.234\tp\n,5\t1.234.567\tq\n", {"a": [3.14, 0.5], "b": [1234, 1234567]}, COMMAS),
        ("a;b;kind\n1.234,5;x, y;p\n2;z;q\n", {"a": [1234.5, 2], "b": ["x, y", "z"]}, COMMAS),
        ("a;kind\n1,234;p\n2;q\n", {"a": [1.234, 2]}, COMMAS),  # a semicolon is there since the comma is taken
        ('a,b,kind\n"3,14",1,p\n"2,7",2,q\n', {"a": [3.14, 2.7], "b": [1, 2]}, COMMAS),
        ('a,kind\n"1,234.5",p\n"2,000",q\n', {"a": [1234.5, 2000]}, GROUPS),
        ('a,b,kind\n"1,234",0.5,p\n"2,000",1,q\n', {"a": [1234, 2000], "b": [0.5, 1]}, GROUPS),
        ("a;kind\n1,234,567;p\n2;q\n", {"a": [1234567, 2]}, GROUPS),
        ('a,kind\n"1,234",p\n"2,000",q\n', {"a": ["1,234", "2,000"]}, []),  # it may be either
        ("a\tkind\n1,234\tp\n2,000\tq\n", {"a": ["1,234", "2,000"]}, []),
        ("a;b;kind\n3,14;2.5;p\n2,7;1;q\n", {"a": ["3,14", "2,7"], "b": [2.5, 1]}, []),  # it cannot be both
    ],
)
def test_commas_in_numbers_are_read_where_they_can_mean_one_thing_only(
    text: str, cells: dict[str, list[Any]], notes: list[str]
) -> None:
    table = read(text)
    assert cells_of(table) == cells
    assert table.notes == notes


def test_commas_in_columns_of_text_stay() -> None:
    table = read("id;a;kind\n1,5;3,14;p\n2,5;2,7;q\n", keep=["id"])
    assert table.kept == {"id": ["1,5", "2,5"]}


@pytest.mark.parametrize("marker", ["", "NA", "nan", "?"])
def test_rows_without_a_target_are_left_out_and_counted(marker: str) -> None:
    table = read(f"a,b,w,g,t,kind\n1,x,1,u,1,p\n2,y,2,v,2,{marker}\n3,x,3,u,3,q\n4,z,4,v,4, {marker} \n",
                 sample_weight="w", group="g", time="t", keep=["a", "kind"])  # fmt: skip
    assert table.class_names == ["p", "q"]
    assert table.t.tolist() == [0, 1]
    assert table.notes == ["2 rows without a target left out"]
    assert table.rows.tolist() == [0, 2]
    assert cells_of(table) == {"a": [1, 3], "b": ["x", "x"]}
    assert (table.sample_weight, table.groups, table.time) is not None
    assert [each.tolist() for each in (table.sample_weight, table.groups, table.time) if each is not None] == [
        [1, 3], [0, 0], [1, 3],
    ]  # fmt: skip
    assert table.kept == {"a": ["1", "3"], "kind": ["p", "q"]}


def test_a_class_that_a_model_knows_is_one_whatever_it_is_called() -> None:
    table = read("a,kind\n1,NA\n2,p\n3,\n", class_names=["NA", "p"])
    assert table.t.tolist() == [0, 1]
    assert table.notes == ["1 row without a target left out"]


def semicolons(labels: list[Any]) -> str:
    """Write labels as the column price."""
    return "a;price\n" + "".join(f"{i % 7};{label}\n" for i, label in enumerate(labels))


@pytest.mark.parametrize(
    "labels",
    [
        [*range(10)],  # as few classes as nobody doubts
        [*range(10)] * 3,
        [0.5, 1, 1.5, 2, 2.5, 3] * 3,
        [*range(100)] * 10,
        [*range(50)] * 3,
        [f"{i}x" for i in range(20)] * 3,
    ],
)
def test_numbers_of_classes_are_classes(labels: list[Any]) -> None:
    table = read(semicolons(labels), "price")
    assert len(table.class_names) == len(set(labels))


@pytest.mark.parametrize(
    ("labels", "count"),
    [
        ([i / 7 for i in range(11)] * 9, 11),
        ([f"{i},5" for i in range(30)], 30),
        ([*range(20)], 20),
        ([*range(101)] * 9, 101),
    ],
)
def test_a_quantity_is_no_target_and_the_error_shows_how_to_make_classes_of_it(labels: list[Any], count: int) -> None:
    assert refused(semicolons(labels), "price") == (
        f"column 'price' holds {count} different numbers, a quantity, and minnet classifies: make classes of it, as "
        'pandas does: df["price class"] = pd.qcut(df["price"], 3, labels=["low", "middle", "high"]), and --ignore price'
    )


def test_numbers_of_which_some_are_rare_may_be_classes() -> None:
    labels = [*range(30)] * 5 + [77, 78, 78]
    message = refused(semicolons(labels), "price")
    assert "holds 32 different numbers, a quantity, and minnet classifies" in message
    assert message.endswith("--ignore price; if they are classes, --min-class 3 leaves the rare ones out")
    assert len(read(semicolons(labels), "price", min_class=3).class_names) == 30


def test_the_line_that_makes_classes_of_a_quantity_works() -> None:
    pandas: Any = pytest.importorskip("pandas")
    message = refused(semicolons([*range(90)]), "price")
    names = {"df": pandas.read_csv("my.csv", sep=";"), "pd": pandas}
    exec(message.partition("as pandas does: ")[2].partition(", and --ignore")[0], names)  # noqa: S102
    names["df"].to_csv("my.csv", index=False)
    assert sorted(read_table("my.csv", "price class", ignore=["price"]).class_names) == ["high", "low", "middle"]


def test_a_quantity_is_refused_quickly_and_with_little_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    refused(semicolons([i * 7919 % 18_823 for i in range(54_000)]), "price")
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_a_column_of_names_is_no_target() -> None:
    assert refused(semicolons([f"n{i}" for i in range(40)]), "price") == (
        "column 'price' holds 40 different labels in 40 rows, most of them once or twice: is it the target? If so, "
        "--min-class 3 leaves the rare ones out"
    )


def test_rows_of_rare_classes_are_left_out() -> None:
    labels = ["a"] * 5 + ["b"] * 2 + ["c"] * 3 + ["d", ""]
    table = read(semicolons(labels), "price", min_class=3)
    assert table.class_names == ["a", "c"]
    assert table.t.tolist() == [0] * 5 + [1] * 3
    assert table.rows.tolist() == [0, 1, 2, 3, 4, 7, 8, 9]
    assert table.notes == ["1 row without a target left out", "3 rows of 2 classes with fewer than 3 left out"]
    assert read(semicolons(labels), "price", min_class=2).notes[1] == "1 row of 1 class with fewer than 2 left out"
    table = read(semicolons(labels), "price", min_class=3, class_names=["a", "c"])  # of a test file
    assert table.t.tolist() == [0] * 5 + [1] * 3
    assert table.notes == ["1 row without a target left out", "3 rows of other classes left out"]
    names = [f"n{i}" for i in range(40)] + ["p"] * 3 + ["q"] * 3
    assert read(semicolons(names), "price", min_class=3).class_names == ["p", "q"]


def test_too_many_classes_for_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = semicolons([f"n{i % 1000}" for i in range(3000)])
    monkeypatch.setattr("minnet.support.machine.free_memory", lambda: 8.0 * 3000 * 1000 - 1)
    assert "telling 1000 classes of 3000 rows apart would take 0.024 GB" in refused(text, "price")


def test_groups_and_times_are_no_features() -> None:
    text = "a,who,when,kind\n1,7,2024-05-02,p\n2,b,2024-05-01,q\n3,7.0,2024-05-03,p\n"
    table = read(text, group="who", time="when")
    assert table.feature_names == ["a"]
    assert table.groups is not None
    assert table.groups.tolist() == [0, 1, 0]
    assert table.groups.dtype == np.int64
    assert table.time is not None
    assert table.time.tolist() == [19845, 19844, 19846]
    assert read(text, group="who", time="a").feature_names == ["when"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_which_they_are_are_read(encoding: str) -> None:
    table = read("größe;kind\n1;é\n2;p\n".encode(encoding))
    assert cells_of(table) == {"größe": [1, 2]}
    assert table.class_names == ["p", "é"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a,kind\n1,é\n".encode("latin-1"),
            "line 2 is not UTF-8: save it as UTF-8, as does: iconv -f WINDOWS-1252 -t UTF-8 my.csv > utf8.csv",
        ),
        (b"a,kind\n1,\0\n", "line 2 holds a NUL, which is no text: save it as UTF-8"),
        (b"a,kind\n1,p\n".decode().encode("utf-32"), "line 1 holds a NUL, which is no text: save it as UTF-8"),
        (b"\xff\xfea", "line 1 is not UTF-16: save it as UTF-8"),
        (b"\xff\xfea\0\0\xd8", "line 1 is not UTF-16: save it as UTF-8"),
    ],
)
def test_other_bytes_are_refused(content: bytes, message: str) -> None:
    assert refused(content) == message


def test_names_that_all_stand_in_single_quotes_are_read_without_them() -> None:
    table = read("'a'\t'b'\t'kind'\n1\t2\tp\n3\t4\tq\n")
    assert cells_of(table) == {"a": [1, 3], "b": [2, 4]}
    assert read("a,'b',kind\n1,2,p\n3,4,q\n").feature_names == ["a", "'b'"]


def test_standard_input_is_a_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"b,a\nx,1\n,2\n")))
    table = read_table("-", labelled=False, columns=[("a", "number"), ("b", "category")], keep=["b"])
    assert cells_of(table) == {"a": [1, 2], "b": ["x", ""]}
    assert (table.name, table.kept) == ("standard input", {"b": ["x", ""]})
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"b,a\nx,1\n")))
    with pytest.raises(
        ValueError, match=r"^standard input: there is no column 'c', which the model wants; .* --ignore c"
    ):
        read_table("-", labelled=False, columns=[("c", "number")])


def test_neither_pandas_nor_narwhals_nor_pyarrow_is_needed_to_read_text() -> None:
    Path("my.csv").write_text("day,b,kind\n2024-05-01,x,p\n,NA,q\n", encoding="utf-8")
    code = "import sys; sys.modules |= dict.fromkeys(['pandas', 'narwhals', 'pyarrow', 'sklearn']); " + (
        "from minnet.data.tables import read_table; print(read_table('my.csv', 'kind').notes)"
    )
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "['day: days']\n", run.stderr


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(["1", " 2.5", "-1e3", "NA", "", "x", "true", "1_0", "١", "inf", "?", "nan"]), min_size=1)
)
def test_cells_are_numbers_only_if_each_is_one_or_missing(cells: list[str]) -> None:
    numbers = to_numbers(cells)
    assert (numbers is None) == any(cell in ("x", "true", "1_0", "١") for cell in cells)
    if numbers is not None:
        assert np.isnan(numbers).tolist() == [cell in ("NA", "", "?", "nan") for cell in cells]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(max_size=5), min_size=1))
def test_categories_are_the_texts_of_cells(cells: list[str]) -> None:
    raw = of_texts("a", cells)
    assert raw.texts() == cells
    column = categories(raw)
    assert column.words is not None
    assert sorted({*column.words}) == [*column.words]
    for cell, missing, text in zip(cells, column.missing.tolist(), column.texts(), strict=True):
        assert text == ("" if missing else text)
        if text not in ("true", "false"):
            assert missing or text == label_text(cell)


def test_a_column_of_an_array_keeps_what_it_says() -> None:
    assert of_array("a", np.array([2**62, 7]), text=True).texts() == [str(2**62), "7"]
    assert of_array("a", np.array([1.5, np.nan]), text=True).texts() == ["1.5", ""]
    assert of_array("a", np.array([True, False])).texts() == ["True", "False"]
    numbers = of_array("a", np.array([1, 2], dtype=">i2"))
    assert numbers.kind == "number"
    assert numbers.values.dtype == np.float64
    column = Column("a", np.array([0.0, np.nan, 2.0]))
    assert column.take(np.array([2, 1])).missing.tolist() == [False, True]
