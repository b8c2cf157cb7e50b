"""Does any table train? Tables of many kinds, and damaged ones, go through train, evaluate and predict."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from minnet import load
from tests.cli.test_own_data import in_an_empty_folder, run

__all__ = ["in_an_empty_folder"]
N = 90
PENGUINS = Path(__file__).parents[2] / "data" / "penguins.csv"
Cells = Mapping[str, Sequence[object]]


def columns(**more: Callable[[int], object]) -> dict[str, list[object]]:
    """Make a column of numbers that tells three classes apart, and more from the numbers of the rows."""
    noise = np.random.default_rng(0).normal(size=N)
    made: dict[str, list[object]] = {"width": [round(float(noise[i]) + 5 * (i % 3), 3) for i in range(N)]}
    made |= {name: [make(i) for i in range(N)] for name, make in more.items()}
    return made | {"kind": kinds()}


def kinds() -> list[object]:
    """Give the class of each row."""
    return [("ant", "bee", "cicada")[i % 3] for i in range(N)]


def text_of(cells: Cells, delimiter: str = ",", quoted: bool = False) -> str:
    """Write columns as text."""
    text = io.StringIO()
    writer = csv.writer(
        text, delimiter=delimiter, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, lineterminator="\n"
    )
    writer.writerows([[*cells], *zip(*cells.values(), strict=True)])
    return text.getvalue()


def decimal_comma(cells: Cells) -> str:
    """Write columns as a German spreadsheet does."""
    changed = {name: [str(cell).replace(".", ",") for cell in column] for name, column in cells.items()}
    return text_of(changed, ";")


# A table, the flags that it takes beside --target, and what the line that says what was read must say.
TABLES: dict[str, tuple[Cells, list[str], str]] = {
    "numbers": (columns(height=lambda i: i % 7), [], "2 columns: 2 numbers; 3 classes: 'ant' 30, 'bee' 30"),
    "an index": ({"": range(N), **columns()}, [], "1 column: 1 number; first column left out: an index"),
    "row names": ({"rownames": range(N), **columns()}, [], "rownames left out: an index"),
    "missing numbers": (columns(height=lambda i: "NA" if i % 9 == 0 else i), [], "(10 cells missing, filled with"),
    "missing words": (columns(sex=lambda i: ["m", "f", "?"][i % 7 % 3]), [], "1 category (sex 2 and missing)"),
    "true and false": (columns(wild=lambda i: i % 2 == 0), [], "1 category (wild 2)"),
    "dates": (columns(seen=lambda i: f"2024-01-{i % 28 + 1:02}"), [], "(1 of them dates); seen: days"),
    "dates with slashes": (columns(seen=lambda i: f"2024/01/{i % 28 + 1:02}"), [], "(1 of them dates); seen: days"),
    "names": (columns(name=lambda i: f"No {i}, Smith"), [], "'name' left out: 62 of 62 cells are different"),
    "codes": (columns(code=lambda i: i % 4), ["--categorical", "code"], "1 category (code 4)"),
    "many categories": (columns(town=lambda i: f"t{min(i * i % 97, 60)}"), [], "(town "),
    "a constant": (columns(region="all".format), [], "'region' left out: all cells are the same"),
    "no target": (columns() | {"kind": ["NA", *kinds()[1:]]}, [], "1 row without a target left out"),
    "a rare class": (columns() | {"kind": ["x", *kinds()[1:]]}, ["--min-class", "3"], "1 row of 1 class with fewer"),
    "groups": (columns(who=lambda i: i // 3), ["--group", "who"], "1 column: 1 number"),
    "time": (columns(day=lambda i: f"2024-{i // 28 + 1:02}-{i % 28 + 1:02}"), ["--time", "day"], "1 column: 1 number"),
    "numbers as classes": (columns() | {"kind": [i % 3 / 2 for i in range(N)]}, [], "'0' 30, '0.5' 30, '1' 30"),
}
DAMAGES: dict[str, Callable[[Cells], str | bytes]] = {
    "decimal commas": decimal_comma,
    "UTF-16": lambda cells: text_of(cells).encode("utf-16"),
    "a byte order mark": lambda cells: text_of(cells).encode("utf-8-sig"),
    "tabs": lambda cells: text_of(cells, "\t"),
    "quotes": lambda cells: text_of(cells, quoted=True),
    "line ends of Windows": lambda cells: text_of(cells).replace("\n", "\r\n"),
    "names in single quotes": lambda cells: text_of({f"'{name}'": column for name, column in cells.items()}),
}


def use(capsys: pytest.CaptureFixture[str], cells: Cells, flags: Sequence[str]) -> tuple[list[str], str]:
    """Train on my.csv, evaluate, and predict its rows in another order of columns: the predictions, what was read."""
    command = [
        "train",
        "my.csv",
        "--target",
        "kind",
        "--epochs",
        "3",
        "--batch-size",
        "4",
        "--no-baseline",
        "--out",
        "run",
        *flags,
    ]
    _, said = run(capsys, *command)
    out, _ = run(capsys, "evaluate", "run", "my.csv")
    assert "accuracy" in out
    Path("new.csv").write_text(text_of(dict(reversed([*cells.items()]))), encoding="utf-8")
    out, _ = run(capsys, "predict", "run", "new.csv")
    name, *predicted = out.splitlines()
    assert name == "class"
    assert len(predicted) == N
    return predicted, said.splitlines()[0]


@pytest.mark.parametrize("which", TABLES)
def test_a_table_trains_evaluates_and_predicts(which: str, capsys: pytest.CaptureFixture[str]) -> None:
    cells, flags, expected = TABLES[which]
    Path("my.csv").write_text(text_of(cells), encoding="utf-8")
    predicted, said = use(capsys, cells, flags)
    assert expected in said
    assert len({*predicted}) == 3


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_the_same_table(damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    cells = columns(height=lambda i: "" if i == 5 else i / 4, sex=lambda i: "mf"[i % 2])
    found = []
    for content in (text_of(cells), DAMAGES[damage](cells)):
        Path("my.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        predicted, said = use(capsys, cells, ["--force"])
        found.append((predicted, said.replace("; decimal commas", "")))
    assert found[0] == found[1]


# What is refused, the flags, and what the line must say; the last is what then works instead.
REFUSED: dict[str, tuple[Cells, list[str], str, list[str]]] = {
    "a quantity": (columns() | {"kind": [i / 8 for i in range(N)]}, [], "a quantity, and minnet classifies: make", []),
    "a rare class": (columns() | {"kind": ["x", *kinds()[1:]]}, [], "--min-class 3", ["--min-class", "3"]),
    "words among numbers": (columns(size=lambda i: i if i % 9 else "tall"), [], "--ignore size", ["--ignore", "size"]),
    "codes among numbers": (
        columns(size=lambda i: i % 5 if i % 9 else "XL"), [], "--categorical size", ["--categorical", "size"]
    ),
    "missing cells": (
        columns(size=lambda i: i or ""), ["--missing", "refuse"], "--missing fill", ["--missing", "fill"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", REFUSED)
def test_what_is_refused_gets_a_line_with_what_works(which: str, capsys: pytest.CaptureFixture[str]) -> None:
    cells, flags, expected, remedy = REFUSED[which]
    Path("my.csv").write_text(text_of(cells), encoding="utf-8")
    _, said = run(capsys, "train", "my.csv", "--target", "kind", "--quiet", *flags, code=1)
    assert expected in said
    assert said.count("\n") == 1
    if remedy:
        use(capsys, cells, remedy)


def test_the_classes_that_a_refused_quantity_is_told_to_make_train(capsys: pytest.CaptureFixture[str]) -> None:
    df = pd.DataFrame(columns() | {"kind": [i / 8 for i in range(N)]})
    df.to_csv("my.csv", index=False)
    _, said = run(capsys, "train", "my.csv", "--target", "kind", "--quiet", code=1)
    _, _, line = said.partition("as pandas does: ")
    exec(line.partition(", and --ignore kind")[0], {"df": df, "pd": pd})  # noqa: S102
    df.to_csv("my.csv", index=False)
    run(capsys, "train", "my.csv", "--target", "kind class", "--ignore", "kind", "--epochs", "1", "--out", "r")
    assert load("r").class_names == ("high", "low", "middle")


def test_a_column_that_is_missing_only_at_prediction_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    cells = columns(height=lambda i: i % 5)
    Path("my.csv").write_text(text_of(cells), encoding="utf-8")
    use(capsys, cells, [])
    fewer = {name: column for name, column in cells.items() if name != "height"}
    Path("fewer.csv").write_text(text_of(fewer), encoding="utf-8")
    _, said = run(capsys, "predict", "run", "fewer.csv", code=1)
    assert "there is no column 'height', which the model wants" in said
    assert said.endswith("add it, its cells may be empty, or train without it: --ignore height\n")
    Path("fewer.csv").write_text(text_of(fewer | {"height": [""] * N}), encoding="utf-8")
    _, said = run(capsys, "predict", "run", "fewer.csv")
    assert said == "minnet: 'height': 90 cells missing, filled with the median 2\n"
    use(capsys, fewer, ["--ignore", "height", "--force"])


def test_rows_that_training_left_out_are_left_out_again_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    cells = columns() | {"kind": ["x", "", *kinds()[2:]]}
    Path("my.csv").write_text(text_of(cells), encoding="utf-8")
    use(capsys, cells, ["--min-class", "3"])
    out, said = run(capsys, "evaluate", "run", "my.csv")
    assert "of 88 samples right" in out
    assert said == "minnet: 1 row without a target left out\nminnet: 1 row of other classes left out\n"


def test_the_penguins_train_by_folds_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", str(PENGUINS), "--target", "species", "--folds", "5", "--epochs", "3", "--out", "run"]
    out, said = run(capsys, *command)
    assert "5 numbers (8 cells missing, filled with medians), 2 categories (island 3, sex 2 and missing)" in said
    (line,) = (line for line in out.splitlines() if line.startswith("test accuracy"))
    assert float(line.split()[2]) > 0.9
    out, said = run(capsys, "predict", "run", str(PENGUINS))
    assert len(out.splitlines()) == 345
    assert "'species'" not in said


@pytest.mark.parametrize("folds", [[], ["--folds", "3"]])
def test_columns_of_an_array_are_those_that_were_learned_from(
    folds: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A column that training left out shifted the others, whose numbers were then taken for each other."""
    x = np.random.default_rng(0).normal(size=(N, 4)) * [1, 1, 1, 100]
    y = (x[:, 3] > 0).astype(int)
    x[:, 0] = np.nan
    x[y.argmax(), 0] = 1  # in one row, which some folds do not learn from
    np.savez("my.npz", x=x, y=y)
    run(capsys, "train", "my.npz", *folds, "--epochs", "20", "--quiet", "--out", "r")
    out, _ = run(capsys, "evaluate", "r", "my.npz")
    (line,) = [line for line in out.splitlines() if line.startswith("accuracy ")]
    assert float(line.split()[1]) > 0.9


def test_a_row_that_does_not_count_may_be_the_first_of_a_refit(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.csv").write_text(text_of(columns(w=lambda i: float(i > 0))))
    flags = ["--target", "kind", "--sample-weight", "w", "--folds", "3", "--refit", "--epochs", "2", "--quiet"]
    out, _ = run(capsys, "train", "my.csv", *flags, "--out", "r")
    assert "trained on all rows" in out


def test_a_feature_may_be_carried_along_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.csv").write_text(decimal_comma(columns(more=lambda i: i + 0.5)))
    run(capsys, "train", "my.csv", "--target", "kind", "--epochs", "1", "--quiet", "--out", "r")
    out, _ = run(capsys, "predict", "r", "my.csv", "--keep", "more")
    assert out.splitlines()[0] == "more,class"
    assert out.splitlines()[1].startswith('"0,5",')


def test_rare_classes_are_left_out_of_a_test_file_too(capsys: pytest.CaptureFixture[str]) -> None:
    cells = columns()
    cells["kind"][:2] = ["dragonfly", "dragonfly"]
    Path("my.csv").write_text(text_of(cells))
    flags = ["--target", "kind", "--min-class", "5", "--test", "my.csv", "--epochs", "1", "--quiet"]
    run(capsys, "train", "my.csv", *flags, "--out", "r")
    said = run(capsys, "train", "my.csv", "--target", "kind", "--test", "my.csv", "--group", "width", code=2)[1]
    assert "--group and --time say which rows are tested, and so does --test FILE" in said


def test_the_logistic_regression_has_the_settings_of_the_best_network(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for rates in ("0.05,5", "5,0.05"):
        out, _ = run(capsys, "train", "wine", "--lr", rates, "--epochs", "5", "--quiet", "--force", "--out", "r")
        said.append(next(line for line in out.splitlines() if line.startswith("beside it")))
    assert said[0] == said[1]


def test_there_may_be_no_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run(capsys, "train", "iris", "--epochs", "1", "--quiet", "--out", "r")
    monkeypatch.setattr("sys.stdin", None)
    assert "there is no standard input" in run(capsys, "predict", "r", "-", code=1)[1]


def test_many_columns_that_are_left_out_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    empty = {f"c{k}": lambda i: "same" for k in range(20)}
    Path("my.csv").write_text(text_of(columns(**empty)))
    _, err = run(capsys, "train", "my.csv", "--target", "kind", "--epochs", "1", "--out", "r")
    assert "(20 left out in all)" in err
    assert "'c9' left out" not in err


def test_a_stranger_s_configuration_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "train", "iris", "--epochs", "1", "--quiet", "--out", "r")
    path = Path("r/config.json")
    path.write_text(path.read_text().replace('"ignore": []', '"ignore": 3'))
    names = [f"{part} {size} (cm)" for part in ("sepal", "petal") for size in ("length", "width")]
    Path("my.csv").write_text(",".join(names) + "\n1,2,3,4\n")
    assert "r/config.json" in run(capsys, "predict", "r", "my.csv", code=1)[1]
