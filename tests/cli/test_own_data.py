"""Does the command take files of one's own, and say of each bad one what is wrong, where, and what to do?"""

import csv
import io
import json
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import load
from minnet.cli import main

EXAMPLE = Path(__file__).parents[2] / "data" / "iris.csv"
FAST = ["--epochs", "30", "--quiet"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test where files may be made."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(labels: Callable[[int], object], N: int = 60, **more: Callable[[int], object]) -> str:
    """Make a CSV of two features that tell three classes apart, with more columns if wanted."""
    rng = np.random.default_rng(0)
    rows: list[list[object]] = [["width", "height", "kind", *more]]
    for i in range(N):
        x = rng.normal(size=2) + 4 * np.array([i % 3 == 1, i % 3 == 2])
        rows.append([*x.round(3).tolist(), labels(i % 3), *(make(i) for make in more.values())])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def columns_of(text: str) -> dict[str, Any]:
    """Read the columns of such a CSV as NumPy arrays, numbers where all cells are."""
    header, *rows = csv.reader(io.StringIO(text))
    columns = {}
    for name, cells in zip(header, zip(*rows, strict=True), strict=True):
        try:
            columns[name] = np.array(cells, dtype=float)
        except ValueError:
            columns[name] = np.array(cells)
    return columns


def write_columns(path: str, **columns: Any) -> None:
    """Write a CSV of columns."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [columns, *zip(*(np.array(each).tolist() for each in columns.values()), strict=True)]
        )


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run the command and return what it printed on stdout and on stderr."""
    try:
        left = main(list(arguments))
    except SystemExit as exit_:
        left = int(exit_.code or 0)
    out, err = capsys.readouterr()
    assert left == code, err
    return out, err


LABELS: dict[str, tuple[Callable[[int], object], tuple[str, ...]]] = {
    "strings": (lambda k: ["größer", "a b", "c,d"][k], ("a b", "c,d", "größer")),
    "1-based integers": (lambda k: k + 1, ("1", "2", "3")),
    "gapped integers": (lambda k: [10, 2, -5][k], ("-5", "2", "10")),
    "booleans": (lambda k: k == 1, ("False", "True")),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_labels_of_any_kind_and_any_delimiter(kind: str, delimiter: str, capsys: pytest.CaptureFixture[str]) -> None:
    label, names = LABELS[kind]
    rows = list(csv.reader(io.StringIO(table(label))))
    with Path("my.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    results = json.loads(run(capsys, "train", "my.csv", "--target", "kind", "--json", *FAST)[0])
    assert results["run"] == "runs/my-1"
    assert results["test_accuracy"] > 0.8
    assert load("runs/my-1").class_names == names
    assert load("runs/my-1").feature_names == ("width", "height")
    assert [each["class"] for each in results["classes"]] == list(names)


def test_the_example_that_ships_with_minnet(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "train", str(EXAMPLE), "--target", "species", "--out", "r", *FAST)
    results = json.loads(run(capsys, "evaluate", "r", str(EXAMPLE), "--target", "species", "--json")[0])
    assert results["samples"] == 150
    assert results["accuracy"] > 0.9
    assert [each["samples"] for each in results["classes"]] == [50, 50, 50]
    text = run(capsys, "evaluate", "r", str(EXAMPLE))[0]  # the run knows its target
    assert f"accuracy       {results['accuracy']:.4f}" in text
    assert "precision    recall  f1-score   support" in text


def test_a_stack_predicts_and_is_evaluated_as_an_ensemble(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--target", "species", "--lr", "0.1,1e30", "--seeds", "2", "--label-smoothing", "0.1", "--out", "r"]
    run(capsys, "train", str(EXAMPLE), *flags, *FAST)
    stack = load("r/stack.safetensors")
    columns, names = columns_of(EXAMPLE.read_text()), np.array(stack.class_names)
    x = np.column_stack([columns[name] for name in stack.feature_names])
    y = stack.predict_proba(x)[:2].mean(axis=0)  # the others diverged
    lines = run(capsys, "predict", "r/stack.safetensors", str(EXAMPLE), "--proba")[0].splitlines()
    np.testing.assert_allclose([[float(cell) for cell in line.split(",")[1:]] for line in lines[1:]], y)
    assert [line.split(",")[0] for line in lines[1:]] == names[y.argmax(axis=1)].tolist()
    results = json.loads(
        run(capsys, "evaluate", "r/stack.safetensors", str(EXAMPLE), "--target", "species", "--json")[0]
    )
    right = columns["species"] == names[y.argmax(axis=1)]
    assert results["accuracy"] == right.mean()
    t = 0.9 * (columns["species"][:, None] == names) + 0.1 / 3
    np.testing.assert_allclose(results["loss"], -(t * np.log(y)).sum(axis=1).mean(), rtol=1e-5)


def test_validation_and_a_test_file_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.csv").write_text(table(lambda k: "abc"[k]))
    other = columns_of(table(lambda k: "abc"[k], 30, extra=lambda i: i))
    write_columns("other.csv", **{name: other[name] for name in ("extra", "kind", "height", "width")})
    flags = ["--target", "kind", "--test", "other.csv", "--validation", "0.25", "--out", "r", "--json"]
    results = json.loads(run(capsys, "train", "my.csv", *flags, *FAST)[0])
    assert sum(each["samples"] for each in results["classes"]) == 30
    model = load("r")
    x, t = np.column_stack([other["width"], other["height"]]), ["abc".index(kind) for kind in other["kind"]]
    assert results["test_accuracy"] == (model.predict(x) == t).mean()
    config = json.loads(Path("r/config.json").read_text())
    assert (config["test"], config["validation"]) == ("other.csv", 0.25)
    _, err = run(capsys, "train", "iris", "--test", "other.csv", code=2)
    assert "--test goes with a file of one's own" in err


def test_the_weights_of_a_test_file_count(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.csv").write_text(table(lambda k: "abc"[k], w=lambda i: 1 + i % 2))
    other = columns_of(table(lambda k: "abc"[k], 30))
    train = ["train", "my.csv", "--target", "kind", "--sample-weight", "w", "--test", "other.csv", "--json", *FAST]
    accuracies = {}
    for name, weights in (("even", np.ones(30)), ("odd", np.arange(30) % 7 + 0.5)):
        write_columns("other.csv", **other, w=weights)
        results = json.loads(run(capsys, *train, "--out", name)[0])
        x = np.column_stack([other["width"], other["height"]])
        model = load(name)
        y = model.network.predict_proba(model.samples(x))  # as trained, without the temperature
        y = y[np.arange(30), ["abc".index(kind) for kind in other["kind"]]]
        assert results["test_loss"] == pytest.approx(-(weights * np.log(y)).sum() / weights.sum(), rel=1e-5)
        accuracies[name] = results["test_loss"]
    assert abs(accuracies["even"] - accuracies["odd"]) > 1e-3
    write_columns("other.csv", **other)
    said = run(capsys, *train, "--out", "none", code=1)[1]
    assert said.startswith("minnet: error: other.csv: there is no column 'w'; there are: ")


def test_columns_are_left_out_and_weigh_samples(capsys: pytest.CaptureFixture[str]) -> None:
    text = table(lambda k: "abc"[k], name=lambda i: f"n{i}", w=lambda i: 1 + i % 2)
    Path("my.csv").write_text(text)
    flags = ["--target", "kind", "--ignore", "name", "--json", *FAST]
    with_w = json.loads(run(capsys, "train", "my.csv", *flags, "--out", "x")[0])
    assert load("x").feature_names == ("width", "height", "w")
    weighted = json.loads(run(capsys, "train", "my.csv", *flags, "--sample-weight", "w", "--out", "y")[0])
    assert load("y").feature_names == ("width", "height")
    assert weighted["validation_loss"] != with_w["validation_loss"]
    rows = list(csv.DictReader(io.StringIO(text)))
    twice = [row for row in rows for _ in range(int(row["w"]))]  # a sample of weight 2 is two samples, in the loss
    assert len(twice) == 90


def test_numpy_files(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(table(lambda k: k + 1))))
    x = np.array([[float(row["width"]), float(row["height"])] for row in rows])
    y = np.array([int(row["kind"]) for row in rows])
    np.savez("my.npz", x=x, y=y)
    np.save("x.npy", x)
    np.save("y.npy", y)
    for file, out in (("my.npz", "a"), ("x.npy,y.npy", "b")):
        results = json.loads(run(capsys, "train", file, "--out", out, "--json", *FAST)[0])
        assert results["test_accuracy"] > 0.8
        assert load(out).class_names == ("1", "2", "3")
    np.testing.assert_array_equal(load("a").network.theta, load("b").network.theta)
    predicted = run(capsys, "predict", "a", "x.npy")[0].splitlines()[1:]
    assert [int(label) for label in predicted] == (load("a").predict(x) + 1).tolist()
    assert json.loads(run(capsys, "evaluate", "a", "my.npz", "--json")[0])["accuracy"] > 0.8
    np.savez("bad.npz", x=x, z=y)
    assert "bad.npz" in run(capsys, "train", "bad.npz", code=1)[1]
    np.save("object.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    assert "holds object, expected numbers" in run(capsys, "train", "object.npy,y.npy", code=1)[1]


def test_parquet(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.csv").write_text(table(lambda k: "abc"[k]))
    arrow: Any = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(
        arrow.table(columns_of(Path("my.csv").read_text())), "my.parquet"
    )
    for file in ("my.csv", "my.parquet"):
        run(capsys, "train", file, "--target", "kind", "--out", file[3:], *FAST)
    np.testing.assert_array_equal(load("csv").network.theta, load("parquet").network.theta)


def test_predictions_go_to_stdout_or_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.csv").write_text(table(lambda k: ["a", "b,c", "d"][k]))
    run(capsys, "train", "my.csv", "--target", "kind", "--out", "r", *FAST)
    samples = columns_of(Path("my.csv").read_text())
    write_columns("new.csv", height=samples["height"], id=range(60), width=samples["width"])
    out, err = run(capsys, "predict", "r", "new.csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["class"]
    x = np.column_stack([samples["width"], samples["height"]])
    model = load("r")
    assert [row[0] for row in rows[1:]] == [model.class_names[k] for k in model.predict(x)]
    assert err == "minnet: not used, the model knows no such column: 'id'\n"
    _, err = run(capsys, "predict", "r", "my.csv")
    assert err == ""  # the target is known
    out, _ = run(capsys, "predict", "r", "new.csv", "--proba", "--out", "p.csv")
    assert out == ""
    rows = list(csv.reader(io.StringIO(Path("p.csv").read_text())))
    assert rows[0] == ["class", "a", "b,c", "d"]
    np.testing.assert_array_equal(np.array([row[1:] for row in rows[1:]], np.float32), model.predict_proba(x))
    write_columns("less.csv", height=samples["height"], other=samples["height"])
    assert "width" in run(capsys, "predict", "r", "less.csv", code=1)[1]
    assert "there is no such" in run(capsys, "predict", "nowhere", "new.csv", code=1)[1]
    assert "nowhere/p.csv" in run(capsys, "predict", "r", "new.csv", "--out", "nowhere/p.csv", code=1)[1]
    assert "expected the name of a file" in run(capsys, "predict", "r", "new.csv", "--out", "r", code=1)[1]
    before = Path("new.csv").read_bytes()
    os.symlink("new.csv", "link.csv")
    assert "the file with the samples" in run(capsys, "predict", "r", "new.csv", "--out", "link.csv", code=1)[1]
    assert Path("new.csv").read_bytes() == before
    Path("target.csv").touch()
    os.symlink("target.csv", "to.csv")
    run(capsys, "predict", "r", "new.csv", "--out", "to.csv")
    assert Path("to.csv").is_symlink()
    assert Path("target.csv").read_text().startswith("class\n")
    os.mkfifo("pipe")
    with subprocess.Popen(["/bin/cat", "pipe"], stdout=subprocess.PIPE) as reader:
        run(capsys, "predict", "r", "new.csv", "--out", "pipe")
        assert reader.communicate()[0] == Path("target.csv").read_bytes()
    assert Path("pipe").is_fifo()
    Path("unknown.csv").write_text(table(lambda k: "axd"[k]))
    assert (
        "expected a label, got 'x' (and 19 more such cells); the classes are: 'a', 'b,c', 'd'"
        in run(capsys, "evaluate", "r", "unknown.csv", "--target", "kind", code=1)[1]
    )


@pytest.mark.parametrize("several", [[], ["--seeds", "2"]], ids=["single", "stack"])
def test_features_too_large_for_an_answer_are_named_by_row(
    several: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "train", str(EXAMPLE), "--target", "species", "--out", "r", *several, *FAST)
    model = "r/stack.safetensors" if several else "r"
    header, *rows = EXAMPLE.read_text().splitlines()
    for size in ("3e38", "1e300"):
        Path("new.csv").write_text("\n".join([header, *rows[:4], f"-{size},{size},-{size},{size},setosa", *rows[5:]]))
        for command in (["predict", model, "new.csv"], ["evaluate", model, "new.csv", "--target", "species", "--json"]):
            out, err = run(capsys, *command, code=1)
            assert out == ""
            said = "minnet: error: the model's answer to row 5 is not finite: are its features too large?"
            assert err.splitlines()[-1] == said
            assert "Warning" not in err


def test_a_loss_is_finite_however_sure_a_wrong_answer_is(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "train", str(EXAMPLE), "--target", "species", "--out", "r", *FAST)
    header, *rows = EXAMPLE.read_text().splitlines()
    Path("new.csv").write_text("\n".join([header, *rows[:4], *["1e37,1e37,1e37,1e37,setosa"] * 99, *rows[5:]]))
    run(capsys, "predict", "r", "new.csv")
    out, _ = run(capsys, "evaluate", "r", "new.csv", "--json")
    assert 0 < json.loads(out)["loss"] < 1000


GOOD = table(lambda k: "abc"[k])
LINES = GOOD.splitlines()


def with_line(n: int, line: str) -> str:
    """The good table with another line n, counted from 1."""
    return "\n".join([*LINES[: n - 1], line, *LINES[n:]]) + "\n"


BAD: dict[str, tuple[str | bytes, list[str], list[str]]] = {
    "not a number": (with_line(5, "1.5,tall,a"), [], ["column 'height', row 4 (line 5)", "'tall'", "--ignore"]),
    "a missing value": (
        with_line(7, ",2,a"), ["--target", "kind", "--missing", "refuse"],
        ["column 'width', row 6 (line 7)", "got ''", "--missing fill"],
    ),
    "infinite": (with_line(3, "1,inf,a"), [], ["column 'height', row 2 (line 3)", "inf"]),
    "a duplicate header": (with_line(1, "width,width,kind"), [], ["several columns 'width'"]),
    "no header": ("\n".join(f"{i},{i * 2},{i % 3}" for i in range(30)), [], ["names of columns in the first line"]),
    "an empty file": ("", [], ["names of columns in the first line"]),
    "a header alone": ("width,height,kind\n", [], ["no row"]),
    "one column": ("width\n1\n2\n", [], ["there is no column 'kind'", "'width'"]),
    "too many fields": (with_line(9, "1,2,a,4"), [], ["row 8 (line 9)", "4"]),
    "too few fields": (with_line(9, "1,2"), [], ["row 8 (line 9)"]),
    "mixed encodings": (with_line(6, "1,2,gr\u00fcn").encode("latin-1"), [], ["line 6", "UTF-8"]),
    "UTF-16 cut short": (GOOD.encode("utf-16")[:-3], [], ["UTF-16"]),
    "one class only": (table(lambda k: "a"), [], ["expected at least two classes", "'a'"]),
    "a class with one sample": (with_line(4, "1,2,rare"), [], ["class 'rare' has 1 row", "--min-class 3"]),
    "a quantity": (table(lambda k: k), ["--target", "width"], ["a quantity", "pd.qcut", "--ignore width"]),
    "an unknown target": (GOOD, ["--target", "kid"], ["'kid'", "'kind'"]),
    "an unknown column to ignore": (GOOD, ["--target", "kind", "--ignore", "with"], ["'with'", "'width'"]),
    "no target": (GOOD, ["--epochs", "1"], ["--target", "'width', 'height', 'kind'"]),
    "nothing left": (GOOD, ["--target", "kind", "--ignore", "width,height"], ["no column is left"]),
    "negative weights": (
        table(str, w=lambda i: -i), ["--target", "kind", "--sample-weight", "w"],
        ["column 'w', row 2 (line 3): expected a weight of at least 0, got '-1'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_trained_on_says_what_is_wrong_and_where(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, flags, said = BAD[name]
    Path("my.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    out, err = run(capsys, "train", "my.csv", *(flags or ["--target", "kind"]), "--quiet", code=1)
    assert out == ""
    assert err.startswith("minnet: error: "), err
    assert "my" in err
    assert len(err.splitlines()) == 1
    for words in said:
        assert words in err
    assert os.listdir() == ["my.csv"]


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no.csv" in run(capsys, "train", "no.csv", "--target", "a", code=1)[1]


@pytest.mark.filterwarnings("ignore:Glyph")  # of matplotlib, which shows a box
def test_names_in_a_file_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    red = "\x1b[31m"
    Path(f"my{red}.csv").write_text(table(lambda k: red + "abc"[k], w=lambda i: 1).replace("height", f"{red}height"))
    data = [f"my{red}.csv", "--target", "kind"]
    out, err = run(capsys, "train", *data, "--ignore", "w", "--epochs", "1", "--out", "r")
    out += err + "".join(run(capsys, "evaluate", "r", *data))
    assert "precision    recall" in out
    lines = Path(data[0]).read_text().splitlines()
    Path("more.csv").write_text("\n".join([f"{lines[0]},{red}new", *(f"{line},1" for line in lines[1:]), ""]))
    out += "".join(run(capsys, "predict", "r", "more.csv", "--out", "p.csv"))
    assert "no such column: " in out
    out += "".join(run(capsys, "doctor", *data, code=1))
    Path("my.csv").write_text(f"width,{red},kind\n1,x,a\n")
    out += run(capsys, "train", "my.csv", "--target", "kind", code=1)[1]
    out += run(capsys, "train", "my.csv", "--target", f"{red}kin", code=1)[1]
    out += run(capsys, "train", *data, "--class-weight", "d=1", code=1)[1]
    assert [line for line in out.splitlines() if not line.isprintable()] == []


def test_class_weights_are_balanced_given_in_order_or_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line for i, line in enumerate(LINES) if i == 0 or not line.endswith("c") or i % 2]
    Path("my.csv").write_text("\n".join(rows) + "\n")
    train = ["train", "my.csv", "--target", "kind", "--epochs", "2", "--quiet", "--force", "--out", "r"]
    for text, expected in (("balanced", None), ("1,2,0.5", [1, 2, 0.5]), ("c=4,a=2", [2, 1, 4])):
        run(capsys, *train, "--class-weight", text)
        weights = json.loads(Path("r/config.json").read_text())["output"]["class_weight"]
        if expected is None:
            assert weights[2] > 1.5 * weights[0]
            assert math.isclose(weights[0], weights[1], rel_tol=0.1)
        else:
            assert weights == expected
    for text in ("1,2", "d=1", "1,d=1,2", "heavy,1,2", "a=x"):
        said = run(capsys, *train, "--class-weight", text, code=1)[1]
        assert "expected balanced, 3 numbers, or pairs such as a=2, of 'a', 'b', 'c'; got" in said
        assert repr(text) in said
    assert "at least 0" in run(capsys, *train, "--class-weight", "1,-1,2", code=1)[1]


def test_the_doctor_the_search_and_the_check_take_files_too(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.csv").write_text(GOOD)
    out, _ = run(
        capsys, "tune", "my.csv", "--target", "kind", "--epochs", "2", "--seeds", "1", "--quiet", "--dropout", "0.1"
    )
    (command,) = [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("recommended")]
    assert command.startswith("minnet train my.csv --target=kind --dropout=0.1 ")
    run(capsys, *command.split()[1:], "--epochs", "1", "--quiet")
    found = json.loads(run(capsys, "doctor", "my.csv", "--target", "kind", "--json")[0])
    assert all(diagnosis["right"] for diagnosis in found["checks"])
    Path("bad.csv").write_text(table(lambda k: "abc"[k], same=lambda i: 7))
    out, _ = run(capsys, "doctor", "bad.csv", "--target", "kind", code=1)
    assert [line.split()[1] for line in out.splitlines() if line.startswith("WRONG")] == ["constant"]


def test_a_table_is_trained_on_as_it_comes_and_the_line_says_what_was_made_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        f"{i},2024-01-{i % 28 + 1:02},{i % 7}.5,{'abc'[i % 3]},"
        f"{'' if i in (4, 7) else i % 6},name {i},{'xyz'[i % 5 % 3]}"
        for i in range(60)
    ]
    Path("my.csv").write_text("\n".join([",day,width,kind,age,who,where", *rows]) + "\n")
    _, err = run(capsys, "train", "my.csv", "--target", "kind", "--epochs", "1", "--out", "r")
    assert err.splitlines()[0] == (
        "minnet: my: 60 samples (42 + 9 + 9 to train, validate, test), 5 columns: 3 numbers (1 of them dates, 2 cells "
        "missing, filled with medians), 1 category (where 3), 'who' left out: 42 of 42 cells are different; "
        "first column left out: an index; day: days; 3 classes: 'a' 20, 'b' 20, 'c' 20"
    )
    out, err = run(capsys, "evaluate", "r", "my.csv")
    assert "60 samples right" in out
    write_columns("new.csv", where=["x", "new"], width=["", 1], age=[1, 2], day=["2024-01-01", ""])
    out, err = run(capsys, "predict", "r", "new.csv")
    assert len(out.splitlines()) == 3
    assert "'width': 1 cell missing, filled with the median" in err
    assert "'where': 1 cell never seen in training, such as 'new'" in err
    write_columns("new.csv", where=["x", "new"], width=["", 1], day=["2024-01-01", ""])
    said = run(capsys, "predict", "r", "new.csv", code=1)[1]
    assert "there is no column 'age', which the model wants" in said
    assert "--ignore age" in said


def test_all_columns_that_cannot_be_used_are_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{i},{'x' if i == 2 else i},{i}.5,{'abc'[i % 3]},{'?!' if i in (4, 7) else i},name {i}" for i in range(20)]
    Path("my.csv").write_text("\n".join(["n,day,width,kind,age,who", *rows]) + "\n")
    said = run(capsys, "doctor", "my.csv", "--target", "kind", code=1)[1]
    assert said == (
        "minnet: error: my.csv: column 'day', row 3 (line 4): expected a number, as 19 of 20 cells are, got 'x'; mend "
        "it, take the column as words: --categorical day, or leave it out: --ignore day (such cells are also in: 'age')"
        "\n"
    )


def test_training_says_what_is_wrong_with_the_data_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.csv").write_text(table(lambda k: "abc"[k], sample=lambda i: i + 5))
    train = ["train", "my.csv", "--target", "kind", "--epochs", "1", "--force", "--out", "r"]
    said = run(capsys, *train)[1]
    assert (
        "minnet: keys: 'sample' numbers the rows: new samples get values never seen, so leave it out: --ignore sample"
        in said
    )
    assert run(capsys, *train, "--quiet")[1] == ""
    assert "keys" not in run(capsys, *train, "--ignore", "sample")[1]


def test_training_says_what_it_read(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{i}.5,{['yes', 'Yes', 'no'][i % 3]}" for i in range(30)]
    Path("my.csv").write_text("\n".join(["width,kind", *rows]) + "\n")
    out, err = run(capsys, "train", "my.csv", "--target", "kind", "--epochs", "1")
    assert err.splitlines()[0] == (
        "minnet: my: 30 samples (22 + 4 + 4 to train, validate, test), 1 column: 1 number; 3 classes: 'Yes' 10, "
        "'no' 10, 'yes' 10; some classes differ in upper and lower case only: are they the same?"
    )
    assert "samples right; always " in out
