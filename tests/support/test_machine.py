"""Does BLAS get as many threads as pay, and does a user's own limit win?"""

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from minnet import SGD, History, Linear, Network, ReLU, load_dataset, train
from minnet.support.machine import LIMITS, blas_threads, threads_for


def network(H: int) -> Network:
    return Network([Linear(4, H), ReLU(), Linear(H, 3)])


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the limit that the tests themselves have."""
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)


def threads_of(network: Network, batch_size: int) -> int:
    """Return how many of three threads a training step gets."""
    with threadpool_limits(3, user_api="blas"), threads_for(network, batch_size):
        return blas_threads()


@pytest.mark.usefixtures("unlimited")
def test_small_products_get_one_thread_and_large_ones_are_not_limited() -> None:
    assert threads_of(network(64), 32) == 1
    assert threads_of(network(64), 100_000) == 3
    assert threads_of(Network([Linear(1024, 1024)]), 128) == 3


@pytest.mark.parametrize("name", LIMITS)
def test_a_users_own_limit_wins(name: str, unlimited: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "3")
    assert threads_of(network(64), 32) == 3


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
