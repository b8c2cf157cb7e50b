"""Does every file become a table of finite numbers, or an error that says where it is wrong?"""

import csv
import importlib.util
import io
import math
import os
import random
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet.data.columns import Column, is_missing
from minnet.data.table import Table
from minnet.data.tables import is_file_name, read_table
from minnet.layers import Array

needs_pyarrow = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="needs minnet[parquet]")

CSV = "a,b,kind\n1,2.5,p\n-3,4e2,q\n"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read_csv(content: str | bytes, target: str | None = "kind", **arguments: Any) -> Table:
    Path("my.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table("my.csv", target, **arguments)


def numbers(*names: str) -> list[tuple[str, str]]:
    """Return columns of numbers, as a model wants them."""
    return [(name, "number") for name in names]


def words(column: Column) -> list[str]:
    """Return what each cell of categories says; an empty text where it is missing."""
    return column.texts()


def texts(table: Table) -> list[str]:
    """Return each row's label, as the name of its class."""
    return [table.class_names[k] for k in table.t.tolist()]


def write_parquet(name: str = "my.parquet", pandas_index: str | None = None, **columns: Any) -> None:
    import json

    arrow: Any = pytest.importorskip("pyarrow")
    table = arrow.table(columns)
    if pandas_index is not None:
        described = {"index_columns": [pandas_index], "columns": [], "column_indexes": [], "pandas_version": "3"}
        table = table.replace_schema_metadata({"pandas": json.dumps(described)})
    pytest.importorskip("pyarrow.parquet").write_table(table, name)


def npy(
    array: Array | None = None, header: str | None = None, data: bytes = b"", version: bytes = b"\x01\x00"
) -> bytes:
    """Make an .npy, of an array or of a header and what follows it."""
    if array is not None:
        stream = io.BytesIO()
        np.lib.format.write_array(stream, array)
        return stream.getvalue()
    text = (header or "").encode()
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\x01\x00" else "<I", len(text)) + text + data


def write_npz(compression: int = zipfile.ZIP_STORED, **members: Array | bytes) -> None:
    with zipfile.ZipFile("my.npz", "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member if isinstance(member, bytes) else npy(member))


def refused(path: str, *arguments: Any, **named: Any) -> str:
    """Return the message with which a file is refused."""
    with pytest.raises(ValueError, match=r".") as caught:
        read_table(path, *arguments, **named)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(path.split(",")[0])
    return message


def test_file_names_are_told_by_their_ending() -> None:
    for name in ("my.csv", "a/b.TSV", "c.txt", "d.parquet", "e.npz", "x.npy,y.npy", "x.npy"):
        assert is_file_name(name)
    for name in ("iris", "openml:mnist_784", "my.csv.gz", "csv", "my.xlsx", ""):
        assert not is_file_name(name)
    assert refused("my.xlsx") == (
        "my.xlsx: expected a file of .csv, .tsv, .txt, .parquet, .npz, .npy, or a pair x.npy,y.npy"
    )


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\n\n \n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_is_read_whatever_its_delimiter_and_line_ends(delimiter: str, ending: str) -> None:
    line_end = ending if len(ending.strip(" ")) < 3 else "\n"
    text = CSV.replace("\n", line_end).replace(",", delimiter).removesuffix(line_end) + ending
    for content in (text, "\ufeff" + text):
        table = read_csv(content)
        np.testing.assert_array_equal(table.x, [[1, 2.5], [-3, 400]])
        assert table.x.dtype == np.float64
        assert texts(table) == ["p", "q"]
        assert (table.name, table.sample_weight, table.feature_names, table.ignored) == ("my", None, ["a", "b"], [])


def test_cells_may_be_quoted_or_padded_and_labels_stay_as_they_are() -> None:
    table = read_csv('"a; b"; kind ;"c"\n1;"x;\ny"; True\n "2" ;" 01 ";False\n'.replace(' "2" ', "2"))
    assert table.columns[0].values.tolist() == [1, 2]
    assert words(table.columns[1]) == ["true", "false"]
    assert table.feature_names == ["a; b", "c"]
    assert texts(table) == ["x;\ny", "01"]
    table = read_csv("a,kind\n1,1.5\n1,TRUE\n1,é\n1,v1.0\n1,1e400\n")
    assert texts(table) == ["1.5", "TRUE", "é", "v1.0", "1e400"]


def test_numbers_are_read_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    values = (rng.uniform(-1, 1, 2000) * 10.0 ** rng.integers(-300, 300, 2000)).tolist()
    values += [5e-324, 1.7976931348623157e308, 2.0**63, 1e22]
    table = read_csv("a,kind\n" + "".join(f"{value!r},p\n" for value in values))
    assert table.x[:, 0].tolist() == values
    assert read_csv("a,kind\n99999999999999999999,p\n1,q").x.tolist() == [[1e20], [1]]


def test_a_plain_file_is_read_at_once_and_any_other_row_by_row_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "id,a,b,kind\nx,1,1, p\ny,-2e3 ,0.,q\n"
    with monkeypatch.context() as patch:
        patch.setattr("minnet.data.csv_file.CSVFile._read_rows", None)  # which takes twice as long
        for ending in ("\n", "\r\n", "\r"):
            for more in ("", ending, 2 * ending):
                plain = read_csv(text.strip().replace("\n", ending) + more, ignore=["id"])
                assert plain.x.tolist() == [[1, 1], [-2000, 0]]
                assert texts(plain) == ["p", "q"]
    quoted = read_csv(text.replace("q", '"q"').replace("-2e3 ", '"-2e3"'), ignore=["id"])
    assert quoted.x.tolist() == plain.x.tolist()
    mixed = read_csv("a,kind\n1,p\ntrue,q\n", columns=numbers("a"))  # of a model that learned from 0 and 1
    assert mixed.x.tolist() == [[1], [1]]


@needs_pyarrow
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0.0, 1.0, 2.0], ["0", "1", "2"]),
        ([0, 1, 2], ["0", "1", "2"]),
        ([-0.0, 2.0**53 - 1, -7.0], ["0", "9007199254740991", "-7"]),
        ([1e300, 2.0**53, 1.0], ["1e+300", "9007199254740992.0", "1"]),  # a digit more or less would say the same
        ([False, True, True], ["False", "True", "True"]),
        (["0.0", "1.", "+2.00"], ["0", "1", "2"]),
        (["1.000e+00", ".5", "1.5"], ["1", ".5", "1.5"]),
        (["007", "+1", "1.0.0"], ["007", "+1", "1.0.0"]),
    ],
)
def test_a_label_is_the_same_text_in_every_format(labels: list[Any], expected: list[str]) -> None:
    write_parquet(a=[1, 2, 3], kind=labels)
    write_npz(x=np.ones((3, 1)), y=np.array(labels))
    tables = [
        read_csv("a,kind\n" + "".join(f"1,{label}\n" for label in labels)),
        read_table("my.parquet", "kind"),
        read_table("my.npz"),
    ]
    for table in tables:
        assert texts(table) == expected


def test_columns_are_chosen_by_name() -> None:
    text = "id,w,b,a,kind\n7,1,2,3,p\n8,0,4,5,q\n"
    table = read_csv(text, ignore=["id"], sample_weight="w")
    assert (table.feature_names, table.ignored) == (["b", "a"], ["id"])
    assert table.sample_weight is not None
    assert table.sample_weight.tolist() == [1, 0]
    table = read_csv(text, columns=numbers(*["a", "b"]))
    assert (table.feature_names, table.ignored, table.x.tolist()) == (["a", "b"], ["id", "w"], [[3, 2], [5, 4]])
    table = read_csv("a,b\n1,2\n", labelled=False)
    assert (table.t, table.feature_names, table.ignored) == (None, ["a", "b"], [])
    assert read_csv("a\n1\n2\n", None, labelled=False, columns=numbers(*["a"])).x.tolist() == [[1], [2]]


HEADER = "expected names of columns in the first line, got "
NUMBER = "expected a number that float64 can hold, got "
REMEDY = "; mend it, leave the cell empty, or --ignore a"
MIXED = "expected a number, as 1 of 2 cells are, got "
AS_WORDS = "; mend it, take the column as words: --categorical a, or leave it out: --ignore a"
ROLES = "is asked for twice (target, feature, weight, ignore, …)"


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("", {}, f"{HEADER}nothing"),
        ("\ufeff", {}, f"{HEADER}nothing"),
        ("\na,kind\n1,p\n", {}, f"{HEADER}nothing"),
        ('"a"b,kind\n1,p\n', {}, "line 1: the cells cannot be told apart (',' expected after '\"')"),
        ("a,kind\n", {}, "there is no row"),
        ("a b kind\n1 2 p\n", {}, "there is no column 'kind'; there are: 'a b kind'"),
        ("1,2.5\n3,4\n", {}, f"{HEADER}'1', '2.5'"),
        ("a,b,a \n1,2,3\n", {}, "there are several columns 'a': each needs a name of its own"),
        (CSV, {"target": None}, "which column is the target? Name it with --target; there are: 'a', 'b', 'kind'"),
        (CSV, {"target": "kin"}, "there is no column 'kin'; there are: 'kind', 'a', 'b'"),
        (CSV, {"ignore": ["kin"]}, "there is no column 'kin'; there are: 'kind', 'a', 'b'"),
        (CSV, {"sample_weight": "w"}, "there is no column 'w'; there are: 'a', 'b', 'kind'"),
        (CSV, {"columns": numbers(*["c", "a", "d"])}, "there is no column 'c', 'd', which the model wants; "
         "there are: 'a', 'b', 'kind'; "
         "add it, its cells may be empty, or train without it: --ignore c,d"),
        (CSV, {"ignore": ["kind"]}, f"column 'kind' {ROLES}"),
        (CSV, {"categorical": ["kind"]}, f"column 'kind' {ROLES}"),
        (CSV, {"categorical": ["b"], "ignore": ["b"]}, f"column 'b' {ROLES}"),
        (CSV, {"sample_weight": "b", "ignore": "b"}, f"column 'b' {ROLES}"),
        (CSV, {"ignore": ["a", "b"]}, "no column is left for the features; there are: 'a', 'b', 'kind'"),
        ("a,kind\n1,p\n2,q,3\n", {}, "row 2 (line 3): expected 2 cells, as the header has, got 3"),
        ("a,kind\n1,p,3\n2,q,3\n", {}, "row 1 (line 2): expected 2 cells, as the header has, got 3"),
        ("a,kind\n1,p,\n2,q,\n", {}, "row 1 (line 2): expected 2 cells, as the header has, got 3"),
        ("a,kind\n1,p\n2\n", {}, "row 2 (line 3): expected 2 cells, as the header has, got 1"),
        ("a,kind\n1,p\n\n2,q\n", {}, "row 2 (line 3): expected 2 cells, as the header has, got 0"),
        ("a,kind\n1,\n2,NA\n", {}, "column 'kind' holds no label: expected the target"),
        ("a,kind\n1,\"p\nq\"\nx,q\n", {}, f"column 'a', row 2 (line 4): {MIXED}'x'{AS_WORDS}"),
        *[
            (f"a,kind\n1,p\n{cell},q\n", {}, f"column 'a', row 2 (line 3): {MIXED}{cell!r}{AS_WORDS}")
            for cell in ("1_0", "0x1", "١", "1.2.3")
        ],
        *[
            (f"a,kind\n1,p\n{cell},q\n", {}, f"column 'a', row 2 (line 3): {NUMBER}{cell!r:.60}{REMEDY}")
            for cell in ("inf", "-Infinity", "1e400", "-1e400", "9" * 400)
        ],
        ("a,kind\n1,p\n" + "x,p\n" * 3 + "7,q\n" * 9, {}, "column 'a', row 2 (line 3): "
         "expected a number, as 10 of 13 cells are, got 'x' (and 2 more such cells)" + AS_WORDS),
        ("a b,kind\n1,p\nx,q\n", {}, f"column 'a b', row 2 (line 3): {MIXED}'x'" + AS_WORDS.replace(" a,", " 'a b',")
         .replace("ignore a", "ignore 'a b'")),
        ("a,kind\nx,p\n", {"columns": numbers("a")}, "column 'a', row 1 (line 2): expected a number, as the model was "
         "trained on, got 'x'; mend it, or leave the cell empty"),
        ("a,kind\n3,p\n", {"columns": [("a", "date")]}, "column 'a', row 1 (line 2): expected a date, as the model was "
         "trained on, got '3'; mend it, or leave the cell empty"),
        ("a,kind\n,p\n,q\n", {}, "no column is left for the features, as none has a value"),
        ("a,w,kind\n1,x,p\n", {"sample_weight": "w"}, "column 'w', row 1 (line 2): expected a weight of at least 0, "
         "got 'x'; mend it, or leave out the row"),
        ("a,w,kind\n1,,p\n", {"sample_weight": "w"}, "column 'w', row 1 (line 2): expected a weight of at least 0, "
         "got ''; mend it, or leave out the row"),
        ("a,g,kind\n1,,p\n", {"group": "g"}, "column 'g', row 1 (line 2): expected the name of a group, got ''; "
         "mend it, leave out the row, or use another column"),
        ("a,g,kind\n1,,p\n2,1,q\n", {"time": "g"}, "column 'g', row 1 (line 2): expected a number or date, got ''; "
         "mend it, leave out the row, or use another column"),
        ("a,g,kind\n1,May,p\n", {"time": "g"}, "column 'g', row 1 (line 2): expected a number or date, got 'May'; "
         "mend it, or use another column"),
        ("a,b,kind\n1,,p\n?,x,q\n,y,p\n", {"missing": "refuse"}, "column 'a', row 2 (line 3): expected a value, as "
         "--missing refuse says, got '?' (and 1 more such cell); mend it, leave out the row, or fill: --missing fill "
         "(such cells are: 2 in 'a', 1 in 'b')"),
        ("a,kind\n1,p\n2,q\n", {"min_class": 2}, "each class has fewer than 2 rows: expected a smaller --min-class"),
        ("a,kind\n1,p\n2,p\n3,q\n", {"min_class": 2}, "each class but 'p' has fewer than 2 rows: expected a smaller "
         "--min-class"),
        (b"a,kind\n1,p\n2,caf\xe9\n", {}, "line 3 is not UTF-8: save it as UTF-8, "
         "as does: iconv -f WINDOWS-1252 -t UTF-8 my.csv > utf8.csv"),
        (CSV.encode("utf-16")[2:], {}, "line 1 holds a NUL, which is no text: save it as UTF-8"),
        ('a,kind\n1,p\n2,"q\n', {}, "line 3: the cells cannot be told apart (unexpected end of data)"),
        (f'a,kind\n1,"{"p" * 200_000}"', {},
         "line 2: the cells cannot be told apart (field larger than field limit (131072))"),
    ],
)  # fmt: skip
def test_a_csv_that_is_no_table_says_where(content: str | bytes, arguments: dict[str, Any], message: str) -> None:
    Path("my.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    assert refused("my.csv", **{"target": "kind", **arguments}) == f"my.csv: {message}"


def test_a_message_stays_short_whatever_the_columns_are() -> None:
    Path("my.csv").write_text(",".join(f"c{i}" for i in range(5000)) + "\n" + ",".join(["1"] * 5000))
    message = refused("my.csv", "c9999")
    assert message.startswith("my.csv: there is no column 'c9999'; there are: 'c999', ")
    assert message.endswith(", … (5000 in all)")
    assert len(message) < 300


def test_files_that_cannot_be_read_say_why() -> None:
    with pytest.raises(FileNotFoundError, match=r"^no\.csv: there is no such file$"):
        read_table("no.csv", "kind")
    Path("x.npy").write_bytes(npy(np.ones((2, 2))))
    with pytest.raises(FileNotFoundError, match=r"^y\.npy: there is no such file$"):
        read_table("x.npy,y.npy")
    Path("folder.csv").mkdir()
    os.mkfifo("pipe.csv")
    for name, but in (("folder.csv", ", but a folder"), ("pipe.csv", "")):
        with pytest.raises(FileNotFoundError, match=f"^{name}: there is no such file{but}$"):
            read_table(name, "kind")


def test_only_parquet_needs_a_package_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pandas", "pyarrow"):
        monkeypatch.setitem(sys.modules, package, None)
    assert read_csv(CSV).x.tolist() == [[1, 2.5], [-3, 400]]
    Path("my.parquet").write_text(CSV)
    with pytest.raises(ValueError, match=r"^reading my\.parquet needs pyarrow: pip install pyarrow$"):
        read_table("my.parquet", "kind")


@pytest.mark.parametrize("name", ["my.csv", "my.npz", "x.npy"])
def test_a_file_larger_than_a_quarter_of_the_free_memory_is_not_read(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(name).write_bytes(bytes(1000))
    monkeypatch.setattr("minnet.support.machine.free_memory", lambda: 3999.0)
    assert refused(name, labelled=False) == f"{name}: reading it would take 4e-06 GB of memory, more than is free"


@needs_pyarrow
def test_a_parquet_is_read_like_a_csv() -> None:
    write_parquet(b=[True, False], kind=["p", " q "], a=[1, 2**62], w=[0.5, 2.0], t=["u", "v"])
    table = read_table("my.parquet", "kind", sample_weight="w", ignore=["t"])
    assert words(table.columns[0]) == ["true", "false"]
    assert table.columns[1].values.tolist() == [1, 2.0**62]
    assert texts(table) == ["p", "q"]
    assert table.sample_weight is not None
    assert table.sample_weight.tolist() == [0.5, 2]
    assert (table.feature_names, table.ignored) == (["b", "a"], ["t"])
    assert read_table("my.parquet", None, labelled=False, columns=numbers(*["w", "a"])).x.tolist() == [
        [0.5, 1],
        [2, 2.0**62],
    ]


@needs_pyarrow
@pytest.mark.parametrize(
    ("labels", "expected"),
    [([3, 1], ["3", "1"]), ([3.0, 1.0], ["3", "1"]), ([True, False], ["True", "False"]), (["ü", "b"], ["ü", "b"])],
)
def test_labels_of_a_parquet_become_text(labels: list[Any], expected: list[str]) -> None:
    arrow: Any = pytest.importorskip("pyarrow")
    for column in (labels, arrow.array(labels).dictionary_encode()):
        write_parquet(a=[1, 2], kind=column)
        table = read_table("my.parquet", "kind")
        assert texts(table) == expected


@needs_pyarrow
def test_the_index_of_a_data_frame_is_a_feature_only_where_it_is_asked_for() -> None:
    write_parquet(pandas_index="__index_level_0__", a=[1, 2], kind=["p", "q"], __index_level_0__=[7, 9])
    table = read_table("my.parquet", "kind")
    assert (table.feature_names, table.ignored) == (["a"], ["__index_level_0__"])
    assert read_table("my.parquet", "kind", columns=numbers(*["__index_level_0__"])).x.tolist() == [[7], [9]]


@needs_pyarrow
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1, math.inf]}, f"column 'a', row 2: {NUMBER}'inf'{REMEDY}"),
        ({"a": [[1], [2]]}, "column 'a' holds list<element: int64>, expected numbers, text or dates; code it so, or "
         "--ignore it"),
        ({"kind": [None, None]}, "column 'kind' holds no label: expected the target"),
        ({"kind": [math.nan, math.nan]}, "column 'kind' holds no label: expected the target"),
        ({"kind": [b"p", b"q"]}, "column 'kind' holds binary, expected numbers, text or dates; code it so, or "
         "--ignore it"),
        ({"": [1, 2]}, "column 3 has no name"),
        ({"a": [], "kind": []}, "there is no row"),
    ],
)  # fmt: skip
def test_a_parquet_that_is_no_table_says_where(columns: dict[str, Any], message: str) -> None:
    write_parquet(**{"a": [1, 2], "kind": ["p", "q"], **columns})
    assert refused("my.parquet", "kind") == f"my.parquet: {message}"


@needs_pyarrow
def test_a_parquet_that_unpacks_to_more_than_the_free_memory_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(a=np.zeros(10**6), kind=np.zeros(10**6))
    assert Path("my.parquet").stat().st_size < 10_000
    monkeypatch.setattr("minnet.support.machine.free_memory", lambda: 1e8)
    assert refused("my.parquet", "kind") == "my.parquet: reading it would take 0.112 GB of memory, more than is free"


@needs_pyarrow
def test_a_damaged_parquet_says_so() -> None:
    write_parquet(a=[1, 2], kind=["p", "q"])
    whole = Path("my.parquet").read_bytes()
    for damaged in (b"", CSV.encode(), whole[:-9], whole[9:], b"PAR1" + bytes(20) + whole[24:]):
        Path("my.parquet").write_bytes(damaged)
        assert "not a Parquet file" in (message := refused("my.parquet", "kind")) or "damaged" in message


X, Y = np.arange(6.0).reshape(3, 2), np.array([2, 10, 1])


@pytest.mark.parametrize("x", [X, np.asfortranarray(X), X.astype(">f4"), X.astype("u1"), X.astype("f2")])
@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (Y, ["2", "10", "1"]),
        (Y * 1.0, ["2", "10", "1"]),
        (Y > 1, ["True", "True", "False"]),
        (np.array(["ü", "b ", "c"]), ["ü", "b", "c"]),
        (np.array(["ü", "b", "c"], dtype=">U3"), ["ü", "b", "c"]),
        (np.array(["ü".encode(), b"b", b"c"]), ["ü", "b", "c"]),
    ],
)
def test_arrays_become_a_table(x: Array, y: Array, labels: list[str]) -> None:
    write_npz(zipfile.ZIP_DEFLATED, more=Y, x=x, y=y, w=np.array([True, False, True]))
    Path("x.npy").write_bytes(npy(x))
    Path("y.npy").write_bytes(npy(y))
    for path, ignored in (("my.npz", ["more", "w"]), ("x.npy,y.npy", [])):
        table = read_table(path)
        np.testing.assert_array_equal(table.x, X)
        assert table.x.dtype == np.float64
        assert table.x.flags.c_contiguous
        assert texts(table) == labels
        assert (table.name, table.sample_weight, table.ignored) == (path[: path.index(".")], None, ignored)
        assert table.feature_names == ["x0", "x1"]
    assert read_table("my.npz", sample_weight="w", columns=numbers(*["p", "q"])).sample_weight.tolist() == [1, 0, 1]  # type: ignore[union-attr]
    assert texts(read_table("my.npz", "more")) == ["2", "10", "1"]
    assert read_table("my.npz", labelled=False).ignored == ["more", "y", "w"]
    assert read_table("x.npy", labelled=False).t is None
    assert read_table("x.npy,y.npy", labelled=False).ignored == ["y"]


def test_what_numpy_saves_is_read() -> None:
    np.savez("a.npz", x=X, y=Y)
    np.savez_compressed("b.npz", x=X, y=Y)
    for path in ("a.npz", "b.npz"):
        np.testing.assert_array_equal(read_table(path).x, X)


@pytest.mark.parametrize(
    ("members", "arguments", "message"),
    [
        ({"x": X}, {}, ": there is no array 'y' of labels; there are: 'x'; .npy files"),
        ({"y": Y}, {}, ": there is no array 'x'; there are: 'y'"),
        ({"x": X, "labels": Y}, {"target": "label"}, ": there is no array 'label' of labels; there are: 'x', 'labels"),
        ({"x": X, "y": Y}, {"ignore": ["z"]}, ": there is no column 'z'; there are: 'y', 'x0', 'x1'"),
        ({"x": X, "y": Y}, {"sample_weight": "y"}, ": column 'y' is asked for twice"),
        ({"x": X, "y": Y}, {"columns": numbers(*"abc")}, ": x has 2 features, expected 3"),
        ({"x": X, "y": Y[:2]}, {}, ": y has shape (2,), expected (3,), as x has rows"),
        ({"x": X, "y": X}, {}, ": y has shape (3, 2), expected (3,), as x has rows"),
        ({"x": Y, "y": Y}, {}, ": x has shape (3,): expected (N, D)"),
        ({"x": X[:0], "y": Y}, {}, ": there is no row"),
        ({"x": X[:, :0], "y": Y}, {}, ": no column is left for the features"),
        ({"x": X[None], "y": Y}, {}, ": x has shape (1, 3, 2): expected (N, D)"),
        ({"x": np.where(X == 4, -np.inf, X), "y": Y}, {}, f": column 'x0', row 3: {NUMBER}'-inf'"),
        ({"x": X * 1j, "y": Y}, {}, ": x cannot be read (it holds complex128, expected numbers or text)"),
        ({"x": X.astype("M8[s]"), "y": Y}, {}, ": x cannot be read (it holds datetime64[s], expected numbers or text)"),
        ({"x": X, "y": Y * np.nan}, {}, ": column 'y' holds no label: expected the target"),
        ({"x": X, "y": np.array(["a", "\ud800", "b"])}, {}, ": y holds text that is none"),
        ({"x": X, "y": np.array([1, 2**31 - 1, 1], dtype="u4").view("U1")}, {}, ": y holds text that is none"),
        ({"x": X, "y": np.array([b"a", b"\xff", b"b"])}, {}, ": y holds text that is none"),
        ({"x": X.astype(object)}, {"labelled": False}, ": x cannot be read (it holds object, expected"),
    ],
)  # fmt: skip
def test_arrays_that_make_no_table_say_where(members: dict[str, Any], arguments: dict[str, Any], message: str) -> None:
    write_npz(**members)
    assert refused("my.npz", **arguments).startswith(f"my.npz{message}")


GOOD = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2)}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", ""),
        (b"\x93NUMPY", ""),
        (npy(X)[:40], ""),
        (npy(X)[:-1], "buffer size must be a multiple of element size"),
        (npy(X)[:-8], "cannot reshape array of size 5 into shape (3,2)"),
        (npy(X) + b"\0", "buffer size must be a multiple of element size"),
        (npy(header=GOOD.replace("3", "10**9")), ""),
        (npy(header=GOOD.replace("3", "9" * 30)), ""),
        (npy(header=GOOD.replace("3", str(2**61)), data=bytes(16)), ""),
        (npy(header=GOOD.replace("3, 2", "-3, -2"), data=bytes(48)), ""),
        (npy(header=GOOD.replace("3, 2", "1," * 80), data=bytes(8)), ""),
        (npy(header=GOOD.replace("<f8", "<U0").replace("3", "10000000000")), ""),
        (npy(header=GOOD.replace("<f8", "|O"), data=bytes(48)), "it holds object, expected numbers or text"),
        (npy(header=GOOD.replace("<f8", "f8,O"), data=bytes(96)), "it holds "),
        (npy(header=GOOD.replace("<f8", "4f8"), data=bytes(192)), "it holds "),
        (npy(header=GOOD.replace("<f8", "|V8"), data=bytes(48)), "it holds "),
        (npy(header=GOOD + " " * 20_000, data=bytes(48)), "Header info length"),
        (npy(header=GOOD + " " * 9000 + "\0"), "Header info length"),
        (npy(header="(" * 9000), ""),
        (npy(header="-" * 9000 + "1"), ""),
        (npy(header="{[]: 1}"), ""),
        (npy(header="__import__('os').mkdir('owned')"), ""),
        (npy(header=GOOD, data=bytes(48), version=b"\x02\x00"), ""),  # which NumPy writes for none of these
        (npy(header=GOOD, data=bytes(48), version=b"\x03\x00"), ""),
        (npy(header=GOOD, data=bytes(48), version=b"\x09\x00"), ""),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + GOOD.encode(), ""),
    ],
)  # fmt: skip
def test_a_header_is_believed_only_as_far_as_there_are_bytes(data: bytes, message: str) -> None:
    Path("x.npy").write_bytes(data)
    write_npz(zipfile.ZIP_DEFLATED, x=data)
    for path in ("x.npy", "my.npz"):
        said = refused(path, labelled=False)
        assert said.startswith(f"{path}: x cannot be read (")
        assert message in said
    assert not Path("owned").exists()


def test_pairs_of_arrays_have_no_names() -> None:
    Path("x.npy").write_bytes(npy(X))
    Path("y.npy").write_bytes(npy(Y))
    assert refused("x.npy").endswith("there are: 'x'; .npy files are given as a pair, x.npy,y.npy")
    for arguments in ({"target": "kind"}, {"sample_weight": "w"}, {"ignore": ["x"]}):
        assert ": there is no " in refused("x.npy,y.npy", **arguments)
    with pytest.raises(FileNotFoundError, match=r"^y\.npy,z\.npy: there is no such file$"):
        read_table("x.npy,y.npy,z.npy")
    Path("a,b.npy").write_bytes(npy(X))
    assert read_table("a,b.npy", labelled=False).name == "a,b"


def edit_entry(change: Callable[[bytearray, int], None]) -> None:
    """Change the first entry of the directory at the end of my.npz, where its fields begin at a given byte."""
    data = bytearray(Path("my.npz").read_bytes())
    change(data, data.index(b"PK\x01\x02"))
    Path("my.npz").write_bytes(data)


def test_a_zip_that_lies_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def put(at: int, layout: str, value: int) -> Callable[[bytearray, int], None]:
        return lambda data, start: struct.pack_into(layout, data, start + at, value)

    for change, message in (
        (put(8, "<H", 1), "encrypted"),
        (put(10, "<H", 12), "it is compressed in an unusual way"),
        (put(10, "<H", 77), "it is compressed in an unusual way"),
        (put(16, "<I", 0), "Bad CRC-32"),
        (put(24, "<I", 100), ""),
        (put(42, "<I", 10**6), ""),
    ):
        write_npz(zipfile.ZIP_DEFLATED, x=X)
        edit_entry(change)
        said = refused("my.npz", labelled=False)
        assert said.startswith("my.npz: x cannot be read (")
        assert message in said
    write_npz(zipfile.ZIP_DEFLATED, x=np.zeros((1000, 1000)))
    assert Path("my.npz").stat().st_size < 10_000
    monkeypatch.setattr("minnet.support.machine.free_memory", lambda: 8e6)
    assert "x cannot be read (it would take 0.032 GB of memory, more than is free)" in refused("my.npz", labelled=False)
    edit_entry(put(24, "<I", 1000))  # now it claims to be small, and is cut off where it said
    assert "x cannot be read (" in refused("my.npz", labelled=False)
    write_npz(zipfile.ZIP_DEFLATED, x=np.zeros((1000, 1000), dtype=bool))  # small until it becomes float64
    assert "would take 0.0161 GB of memory" in refused("my.npz", labelled=False)


def test_classes_are_numbered() -> None:
    def numbered(*labels: str, names: list[str] | None = None) -> tuple[list[int], list[str]]:
        table = read_csv("a,kind\n" + "".join(f"1,{label}\n" for label in labels), class_names=names)
        assert table.t.dtype == np.int64
        return table.t.tolist(), list(table.class_names)

    assert numbered("10", "2", "-1", "2") == ([2, 1, 0, 1], ["-1", "2", "10"])
    assert numbered("10", "2", "x") == ([0, 1, 2], ["10", "2", "x"])
    assert numbered("b", names=["c", "b", "a"]) == ([1], ["c", "b", "a"])
    assert numbered("1", "0", names=["0.0", "1.0"]) == ([1, 0], ["0.0", "1.0"])  # a model of an earlier version
    assert numbered(*map(str, [*range(20)] * 3))[1][:3] == ["0", "1", "2"]


def test_a_long_label_takes_no_longer_than_it_is() -> None:
    started = time.process_time()
    table = read_csv("a,kind\n1," + "9" * 50_000 + "x\n1,1\n")
    assert table.t.tolist() == [1, 0]
    assert time.process_time() - started < 2


def test_a_label_of_no_known_class_says_where() -> None:
    Path("my.csv").write_text("a,kind\n1,a\n1,setos\n")
    assert refused("my.csv", "kind", class_names=["a", "setosa"]) == (
        "my.csv: column 'kind', row 2 (line 3): expected a label, got 'setos'; the classes are: 'a', 'setosa'"
    )


BITS = [
    b"", b"\n", b"\r", b",", b";", b"\t", b"|", b'"', b'""',
    b" ", b"0", b"-1", b"nan", b"1e999", b"x", b"\xff", b"\0", b"a,b", b"\n\n", b"True",
    b"\xef\xbb\xbf", b"9" * 40, b"<f8", b"<U9", b"|O", b"(3, 2)", b"(3,)",
    b"PK\x01\x02", b"PAR1", b"\xff\xff\xff\xff",
]  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Damage a file in one to four places."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice([0, 1, 1, 2, 4, 8, 60]))
        kind = chance.randrange(5)
        if kind == 0:
            data = data[:at] + chance.choice(BITS) + data[end:]
        elif kind == 1:
            data = data[:at] + bytes(chance.randrange(256) for _ in range(end - at)) + data[end:]
        elif kind == 2:
            data = data[:at] + data[end:]
        elif kind == 3:
            data = data[:at] + data[at:end] * 2 + data[end:]
        elif data[at : at + 1]:
            data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    return data


def whole_files(chance: random.Random) -> dict[str, bytes]:
    """Make one good file of each kind."""
    rows = [(chance.uniform(-9, 9), chance.randrange(9), chance.choice("pqr")) for _ in range(6)]
    text = "a,b,kind\n" + "".join(f'{a!r},{b},"{kind}"\n' for a, b, kind in rows)
    x, y = np.array([row[:2] for row in rows]), np.array([row[2] for row in rows])
    write_npz(chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), x=x, kind=y, w=np.ones(6))
    files = {"my.npz": Path("my.npz").read_bytes(), "x.npy": npy(x)}
    files["my.csv"] = text.replace(",", chance.choice(",;\t|")).encode()
    if importlib.util.find_spec("pyarrow"):
        write_parquet(a=x[:, 0], b=x[:, 1].astype(int), kind=y.tolist())
        files["my.parquet"] = Path("my.parquet").read_bytes()
    return files


def check_column(column: Column, N: int) -> None:
    """Check that a column is of finite numbers or of texts, or has missing cells."""
    assert column.values.shape == (N,)
    if column.words is None:
        assert column.values.dtype == np.float64
        assert not np.isinf(column.values).any()
    else:
        assert column.values.dtype == np.int64
        assert ((column.values >= -1) & (column.values < len(column.words))).all()
        assert len({*column.words}) == len(column.words)
        assert all(type(word) is str and not is_missing(word) for word in column.words)


def fuzz(cases: int, seed: int) -> dict[tuple[str, str], int]:
    """Read damaged files; count by kind of file what came out."""
    chance, counts = random.Random(seed), dict[tuple[str, str], int]()  # noqa: S311
    for case in range(cases):
        if case % 50 == 0:
            files = whole_files(chance)
        path = chance.choice(list(files))
        Path(path).write_bytes(mutated(files[path], chance))
        labelled = path != "x.npy"
        try:
            table = read_table(path, "kind" if labelled else None, labelled=labelled)
        except (ValueError, OSError) as error:
            outcome, message = "refused", str(error)
        else:
            outcome, message = "read", f"{path}: "
            N = len(table.rows)
            for column in table.columns:
                check_column(column, N)
            if labelled:
                assert table.t.shape == (N,)
                assert all(type(name) is str and name for name in table.class_names)
        assert message.startswith(f"{path}: ")
        assert len(message.splitlines()) == 1
        assert len(message) < 1200
        counts[path, outcome] = counts.get((path, outcome), 0) + 1
    return counts


def test_damaged_files_are_read_or_refused_and_nothing_else() -> None:
    counts = fuzz(400, seed=0)
    assert counts["my.npz", "refused"] > 20
    assert counts["x.npy", "read"] > 5


CELLS = ["1", "-2.5", "1e3", " 7", "7 ", "\t8", '"9"', '"1\n"', '" 3 "', "True", "", '""', " ", "x", '"a""b"', '"p,q"',
         "5'", 'x"', "é", "\u2028", "\x0b", "\x1c", "nan", "1e999", "#", "\\", "0x1",
         "+4", "1_0", "00", "-0"]  # fmt: skip


def compare_with_csv(cases: int, seed: int) -> int:
    """Read tables of odd cells as minnet and as Python's csv module do; return how many minnet reads."""
    chance, n_read = random.Random(seed), 0  # noqa: S311
    for _ in range(cases):
        delimiter, n, simple = chance.choice(",;\t|"), chance.randint(1, 4), chance.random() < 0.8
        cells = [[chance.choice(CELLS[: 9 if simple else None]) for _ in range(3)] for _ in range(n)]
        for row in cells:
            row[1] = chance.choice(CELLS)
        text = chance.choice(["\n", "\r\n", "\r"]).join(delimiter.join(row) for row in [["a", "kind", "b"], *cells])
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))
        try:
            table = read_csv(text)
        except ValueError:
            continue
        n_read += 1
        labelled = [row for row in rows[1:] if not is_missing(row[1])]
        assert texts(table) == [row[1].strip().replace("1e3", "1000") for row in labelled]
        for column in table.columns:
            own = [row[0 if column.name == "a" else 2].strip() for row in labelled]
            if column.words is None:
                expected = [math.nan if is_missing(cell) else float(cell) for cell in own]
                np.testing.assert_array_equal(column.values, expected)
            else:
                said = ["" if is_missing(cell) else cell for cell in own]
                assert words(column) == [{"True": "true", "1e3": "1000"}.get(cell, cell) for cell in said]
    return n_read


def test_a_csv_is_read_as_pythons_own_module_reads_it() -> None:
    assert compare_with_csv(300, seed=0) > 60


def test_no_file_can_run_code() -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, ("owned",)

    attack = np.empty((1, 1), dtype=object)
    attack[0, 0] = Attack()
    np.savez("my.npz", x=attack, y=np.ones(1))
    np.save("x.npy", attack)
    assert "it holds object" in refused("my.npz")
    assert "it holds object" in refused("x.npy", labelled=False)
    assert not Path("owned").exists()
