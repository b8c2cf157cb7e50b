"""Does the history say what the kept weights are worth, which network is best, and when to stop?"""

import numpy as np
import pytest

from minnet import SGD, Dataset, History, Linear, Network, ReduceOnPlateau, ReLU, evaluate, load_dataset, train
from minnet.history import EarlyStopping
from minnet.schedules import CosineDecay


@pytest.fixture(scope="module")
def iris() -> Dataset:
    return load_dataset("iris")


def test_an_empty_history_says_so() -> None:
    for ask in (History().best, lambda: History().final("train_loss")):
        with pytest.raises(ValueError, match="expected a history with at least one epoch, got an empty one"):
            ask()


def test_the_best_network_is_the_one_whose_kept_weights_are_best() -> None:
    """Not the one whose last epoch is: of tries like this one, 13 of 30 were picked wrongly."""
    moons = load_dataset("moons")
    for seed in (12, 16, 20):
        stack = Network([Linear(2, 64), ReLU(), Linear(64, 2)], seed=range(seed, seed + 4))
        history = train(stack, SGD(1.0, 0.9), moons, 50, patience=2)
        losses, _ = evaluate(stack, *moons.validation)
        assert history.best() != np.argmin(history.validation_loss[-1])
        assert history.best() == losses.argmin()
        np.testing.assert_allclose(history.final("validation_loss"), losses, rtol=1e-6)


def test_a_network_that_diverged_once_is_never_the_best() -> None:
    early = [np.array([np.inf, 1.0]), np.array([0.1, 0.5])]
    fine = [np.array([1.0, 1.0]), np.array([0.1, 0.5])]
    kept = [np.array([1, 1]), np.array([2, 2])]
    history = History([1, 2], train_loss=fine, validation_loss=early, batch_loss=fine, kept=kept)
    np.testing.assert_array_equal(history.diverged(), [True, False])
    assert history.best() == 1


@pytest.mark.parametrize("monitor", ["loss", "accuracy", "balanced_accuracy", "f1"])
def test_early_stopping_keeps_the_first_of_the_best_and_stops_when_it_is_old(monitor: str) -> None:
    values = [3.0, 2.0, 2.0, 2.5, 1.0, 1.5, np.nan, 1.0]
    better = [3.0, 2.0, 2.0, 2.5, 1.0, 1.5, np.nan, 1.0] if monitor == "loss" else [-v for v in values]
    stopping, history = EarlyStopping(3, monitor), History()
    kept, stopped = [], []
    for epoch, value in enumerate(better, 1):
        history.epoch.append(epoch)
        history.lr.append(0.1)
        getattr(history, f"validation_{monitor}").append(value)
        history.kept.append(stopping.kept(history, 1))
        kept.append(int(history.kept[-1]))
        stopped.append(bool(stopping.stopped(history)))
    assert kept == [1, 2, 2, 2, 5, 5, 5, 5]
    assert stopped == [False] * 7 + [True]


def test_a_network_without_a_finite_epoch_keeps_none() -> None:
    history = History([1], validation_loss=[np.array([np.nan, 1.0])], lr=[np.array([0.1, 0.1])])
    np.testing.assert_array_equal(EarlyStopping(2).kept(history, 1), [0, 1])


def test_the_rate_in_the_history_is_that_of_the_epochs_last_step(iris: Dataset) -> None:
    network, schedule = Network([Linear(4, 3)]), CosineDecay()
    history = train(network, SGD(0.1), iris, 3, 25, schedule=schedule)
    last = [0.1 * schedule.factors(epoch, 5, 3, [])[-1] for epoch in range(3)]
    np.testing.assert_allclose(history.lr, last, rtol=1e-12)


class Counting(list[float]):
    """A list that counts the entries that are looked at."""

    looked_at = 0

    def __getitem__(self, key):  # type: ignore[no-untyped-def]
        found = super().__getitem__(key)
        self.looked_at += len(found) if isinstance(key, slice) else 1
        return found


def test_the_plateau_looks_at_each_epoch_once_however_many_there_are() -> None:
    schedule, losses = ReduceOnPlateau(2, 0.5), Counting()
    for epoch in range(3000):
        losses.append(1.0 if epoch else 2.0)
        schedule.factors(epoch + 1, 3, 9999, losses)
    assert losses.looked_at == 3000
    fresh = ReduceOnPlateau(2, 0.5)
    np.testing.assert_array_equal(fresh.factors(9, 3, 9, list(losses)[:9]), np.full(3, 0.5**3))
    np.testing.assert_array_equal(fresh.factors(3, 3, 9, list(losses)[:3]), np.ones(3))  # another history


def test_a_loss_that_is_nan_does_not_hide_the_lowest_from_the_plateau() -> None:
    losses = [np.array([1.0, 1.0]), np.array([np.nan, 2.0]), np.array([0.5, 2.0]), np.array([0.7, 0.9])]
    np.testing.assert_array_equal(ReduceOnPlateau(2, 0.1).factors(4, 1, 9, losses), [[1.0, 0.1]])
    after = [*losses[:2], np.array([1.5, 2.0])]
    np.testing.assert_array_equal(ReduceOnPlateau(2, 0.1).factors(3, 1, 9, after), [[0.1, 0.1]])
