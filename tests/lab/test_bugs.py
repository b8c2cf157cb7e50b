"""Is every mistake in the lab a mistake, caught by what it says, and by its name where it has one?"""

import inspect

import numpy as np
import pytest

from minnet import Dataset, Linear, Network, ReLU, SoftmaxCrossEntropy, load_dataset, train
from minnet.lab.bugs import BATCH_SIZE, BUGS, HIDDEN, LR, MOMENTUM, Bug, compare, expect_equal
from minnet.lab.mistakes import MISTAKES
from minnet.optimizers import SGD
from minnet.training import Training, evaluate


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """The digits."""
    return load_dataset("digits")


def test_there_are_enough_of_them_and_all_have_a_name() -> None:
    assert len(BUGS) >= 20
    assert set(BUGS) <= set(MISTAKES)
    assert {bug.caught_by for bug in BUGS.values()} == {
        "gradient check", "loss bound", "input check", "equivalence test",
    }  # fmt: skip


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_each_is_caught_by_what_it_says_and_named_where_it_has_a_name(bug: Bug, digits: Dataset) -> None:
    report = bug.check(digits)
    assert not report.right
    names = [finding.name for finding in report.findings]
    assert names == [bug.name]
    if bug.caught_by == "gradient check":
        off = any(row.wrong and row.error > 1e-6 for row in report.rows)
        bad_manners = bug.name in ("gradients-accumulated", "caller-array-changed", "update-before-dx")
        assert off or bad_manners
    elif bug.caught_by == "input check":
        assert bug.test is not None
        assert report.findings[0].saw.startswith(("ValueError: ", "TypeError: "))
    elif bug.caught_by == "equivalence test":
        assert bug.test is not None
        assert report.findings[0].saw.startswith("AssertionError: ")
        assert "but they differ by up to" in report.findings[0].saw


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_each_shows_in_training_as_it_says(bug: Bug, digits: Dataset) -> None:
    right, wrong = compare(bug, digits, epochs=2, seed=0)
    assert np.isfinite(right.train_loss).all()
    if bug.name == "caller-array-changed":
        assert wrong.train_loss == right.train_loss  # nothing shows: this is why it needs a check
    else:
        assert wrong.train_loss != right.train_loss or wrong.train_accuracy != right.train_accuracy


def test_the_right_program_is_training_as_everybody_else_does_it(digits: Dataset) -> None:
    history, _ = compare(BUGS["factor-two"], digits, 3, 4)
    network = Network([Linear(64, HIDDEN), ReLU(), Linear(HIDDEN, 10)], seed=4)
    expected = train(network, SGD(LR, MOMENTUM), digits, 3, BATCH_SIZE)
    assert history.train_loss == expected.train_loss
    assert history.validation_accuracy == expected.validation_accuracy
    assert history.batch_loss == expected.batch_loss


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("softmax-twice", lambda right, wrong: 1.461 <= min(wrong.train_loss) < 1.6),
        ("x-shuffled-alone", lambda right, wrong: abs(wrong.train_loss[-1] - np.log(10)) < 0.1),
        ("labels-column", lambda right, wrong: abs(wrong.validation_accuracy[-1] - 0.1) < 0.02),
        ("sign-flipped", lambda right, wrong: not wrong.train_loss[-1] < wrong.batch_loss[0]),
        ("no-maximum", lambda right, wrong: np.isnan(wrong.train_loss).any()),
        ("batch-maximum", lambda right, wrong: np.isnan(wrong.train_loss).any()),
        ("epsilon-too-small", lambda right, wrong: np.isnan(wrong.train_loss).any()),
        ("log-epsilon", lambda right, wrong: max(wrong.batch_loss) <= 16.12 < max(right.batch_loss)),
        ("wrong-divisor", lambda right, wrong: wrong.train_loss[-1] > 2 * right.train_loss[-1]),
        ("integer-arrays", lambda right, wrong: wrong.validation_accuracy[-1] < 0.5),
    ],
)
def test_the_sign_of_each_is_what_the_lab_says(name: str, sign: object, digits: Dataset) -> None:
    assert callable(sign)
    assert sign(*compare(BUGS[name], digits, epochs=6, seed=0))


def test_the_loss_reported_of_an_output_layer_with_a_forward_of_its_own_is_that_forwards(digits: Dataset) -> None:
    network = Network([Linear(64, 10)], BUGS["log-epsilon"].part(), dtype="float64")
    loss, _ = evaluate(network, *digits.validation)
    assert loss == pytest.approx(float(network.forward(digits.validation.x.astype(float), digits.validation.t)))
    _, wrong = compare(BUGS["log-epsilon"], digits, epochs=1, seed=0)
    assert wrong.batch_loss[0] > 3
    assert 1 < min(wrong.train_loss[0], wrong.validation_loss[0]) < 16.12


def test_the_real_layers_know_nothing_of_the_mutants() -> None:
    for part in (Linear, ReLU, SoftmaxCrossEntropy, Training):
        assert "bug" not in inspect.getsource(part).lower()


def test_a_test_that_does_not_fail_finds_no_mistake() -> None:
    bug = Bug("labels-column", "", Training, "input check", lambda dataset: None)
    assert bug.check(load_dataset("iris")).right
    expect_equal("they should be the same", np.ones(3), np.ones(3))
    with pytest.raises(AssertionError, match=r"they should be the same, but they differ by up to 0\.5"):
        expect_equal("they should be the same", np.ones(3), np.array([1, 1.5, 1]))
