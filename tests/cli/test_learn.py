"""Do ``minnet check`` and ``minnet bugs`` do what they say, and take bad input well?"""

import os
from pathlib import Path

import pytest

from minnet.cli import main
from minnet.cli.learn import pick
from minnet.lab.bugs import BUGS
from minnet.lab.mistakes import MISTAKES

MY_LAYERS = """
from minnet.layers import Linear, Tanh
from minnet import SoftmaxCrossEntropy

class Right(Linear):
    pass

class Doubled(Tanh):
    def backward(self, da):
        return da * (1 - self.a * self.a) ** 2

class Mine(SoftmaxCrossEntropy):
    def backward(self):
        return self.t - self.y
"""


@pytest.fixture(autouse=True)
def in_a_folder_with_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test beside a file with layers of one's own."""
    (tmp_path / "mine.py").write_text(MY_LAYERS)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("hidden", ["none", "8", "8,7", "8,7,6"])
def test_check_prints_an_error_of_at_most_1e_12_for_every_parameter(
    activation: str, hidden: str, capsys: pytest.CaptureFixture[str]
) -> None:
    between = [] if hidden == "none" else ["--activation", activation]
    assert main(["check", "digits", "--hidden", hidden, *between]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.endswith("ok")]
    depth = 1 if hidden == "none" else len(hidden.split(",")) + 1
    assert len(rows) == 2 * depth + 1
    assert all(float(row.split()[-2]) <= 1e-12 for row in rows)
    assert lines[-1] == "right: every gradient agrees with the slope of the loss"


def test_a_class_of_ones_own_is_checked_and_the_exit_code_says_how_it_went(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "mine.py:Right"]) == 0
    assert "right:" in capsys.readouterr().out
    assert main(["check", str(Path("mine.py").absolute()) + ":Doubled"]) == 1
    assert "WRONG: derivative-doubled" in capsys.readouterr().out
    assert main(["check", "mine.py:Mine"]) == 1
    out = capsys.readouterr().out  # two mistakes at once
    assert "WRONG: sign-flipped" in out
    assert "WRONG: mean-forgotten" in out


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("none.py:X", "none.py cannot be imported: FileNotFoundError: "),
        (
            "mine.py:Nothing",
            "mine.py has no class 'Nothing'; it has: Linear, Tanh, SoftmaxCrossEntropy, Right, Doubled, Mine",
        ),
        ("broken.py:X", "broken.py, line 2)"),
        ("raising.py:X", "raising.py cannot be imported: ZeroDivisionError"),
        ("mine.py:", "mine.py has no class ''"),
    ],
)
def test_what_cannot_be_checked_is_one_line(target: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.py").write_text("x = 1\ndef f(:\n")
    Path("raising.py").write_text("1 / 0\n")
    assert main(["check", target]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_file_that_ends_the_program_does_not_end_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    Path("leaving.py").write_text("import sys\nsys.exit(0)\n")
    assert main(["check", "leaving.py:X"]) == 1
    assert "leaving.py cannot be imported: SystemExit" in capsys.readouterr().err


def test_a_file_may_import_its_neighbours(capsys: pytest.CaptureFixture[str]) -> None:
    os.mkdir("sub")
    Path("sub/neighbour.py").write_text("from minnet.layers import Tanh\n")
    Path("sub/layer.py").write_text("import neighbour\nclass L(neighbour.Tanh):\n    pass\n")
    assert main(["check", "sub/layer.py:L"]) == 0
    assert capsys.readouterr().out


def test_bugs_lists_every_mistake_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bugs"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(BUGS)


def test_a_mistake_is_trained_beside_the_right_program_with_one_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bugs", "wrong-divisor", "--dataset", "iris", "--epochs", "3"]) == 0
    out = capsys.readouterr().out
    assert f"wrong-divisor: {MISTAKES['wrong-divisor'].meaning}" in out
    lines = out.splitlines()
    right, wrong = (next(line for line in lines if line.startswith(name + " ")) for name in ("right", "wrong-divisor"))
    assert float(right.split()[1]) < float(wrong.split()[1])
    assert Path("bug-wrong-divisor.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(os.listdir()) == ["bug-wrong-divisor.png", "mine.py"]


def test_check_tells_what_minnet_check_says_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bugs", "bias-all-axes", "--check"]) == 0
    assert "WRONG: bias-all-axes" in capsys.readouterr().out
    assert main(["bugs", "labels-from-one", "--check", "--dataset", "iris"]) == 0
    assert "class numbers must lie in 0 … 2, got 3" in capsys.readouterr().out
    assert os.listdir() == ["mine.py"]


@pytest.mark.parametrize("number", range(4))
def test_a_mystery_keeps_its_secret_until_it_is_told(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    quiz = ["bugs", "--mystery", str(number), "--dataset", "iris", "--epochs", "2"]
    bug = BUGS[pick(number)]
    assert main(quiz) == 0
    out = capsys.readouterr().out
    assert f"mystery {number}" in out
    assert "check" in out
    for secret in (bug.name, MISTAKES[bug.name].meaning, bug.sign, "means:", bug.part.__name__):
        assert secret not in out
    assert main([*quiz, "--tell"]) == 0
    assert bug.name in capsys.readouterr().out
    assert sorted(os.listdir()) == [f"bug-mystery-{number}.png", "mine.py"]


def test_mysteries_differ() -> None:
    assert len({pick(number) for number in range(100)}) > 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bugs", "softmax-twize"], "unknown mistake 'softmax-twize'; known are: softmax-twice,"),
        (["bugs", "softmax-twice", "--mystery", "1"], "expected NAME, with or without --check, or --mystery"),
        (["bugs", "--mystery", "x"], "expected an integer"),
        (["bugs", "factor-two", "--epochs", "0"], "expected an integer of at least 1"),
        (["bugs", "--tell"], "or --mystery, with or without --tell"),
        (["bugs", "--check"], "expected NAME, with or without --check"),
        (["check"], "required: SUBJECT"),
        (["check", "digit"], "unknown data set 'digit'; known are: digits,"),
        (["check", "digits", "--hidden", "x"], "argument --hidden: expected an integer of at least 1, got 'x'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    out, err = capsys.readouterr()
    assert left.value.code == 2
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_picture_that_cannot_be_saved_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bugs", "factor-two", "--dataset", "iris", "--epochs", "1", "--out", "nowhere/picture.png"]
    assert main(arguments) == 1
    said = "minnet: error: cannot write nowhere/picture.png: expected the name of a file, in a folder that is there\n"
    assert capsys.readouterr() == ("", said)
    assert os.listdir() == ["mine.py"]
