"""Does BLAS get as many threads as pay, and does a user's own limit win?"""

import pytest
from threadpoolctl import threadpool_info

from minnet import SGD, History, Linear, Network, ReLU, load_dataset, train
from minnet.support.machine import LIMITS, blas_threads, threads_for, threads_that_pay


def network(H: int) -> Network:
    return Network([Linear(4, H), ReLU(), Linear(H, 3)])


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the limit that the tests themselves have."""
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("unlimited")
def test_small_products_get_one_thread_and_large_ones_are_not_limited() -> None:
    assert threads_that_pay(network(64), 32) == 1
    assert threads_that_pay(network(64), 100_000) is None
    assert threads_that_pay(Network([Linear(1024, 1024)]), 128) is None


@pytest.mark.parametrize("name", LIMITS)
def test_a_users_own_limit_wins(name: str, unlimited: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "3")
    assert threads_that_pay(network(64), 32) is None


@pytest.mark.usefixtures("unlimited")
def test_training_has_the_limit_and_leaves_none_behind() -> None:
    before, seen = blas_threads(), []

    def look(history: History) -> None:
        seen.append(blas_threads())

    train(network(8), SGD(0.1), load_dataset("iris"), 2, on_epoch=look)
    assert seen == [1, 1]
    assert blas_threads() == before == max(pool["num_threads"] for pool in threadpool_info())
    with threads_for(Network([Linear(1024, 1024)]), 128):
        assert blas_threads() == before
