"""Is a column that is all that counts worth all, and noise nothing?"""

from collections.abc import Sequence

import numpy as np
import pytest

from minnet.data.columns import Column
from minnet.layers import Array
from minnet.runs.importance import importances

N = 400
rng = np.random.default_rng(0)
T = np.arange(N) % 2
COLUMNS = [
    Column("noise", rng.normal(size=N)),
    Column("colour", T, ("red", "blue")),
    Column("constant", np.full(N, 3.0)),
    Column("some", np.where(rng.random(N) < 0.8, T, 1 - T).astype(float)),
]


def by_colour(columns: Sequence[Column]) -> Array:
    """Use a single column, and that the others are there in their places."""
    assert [column.name for column in columns] == ["noise", "colour", "constant", "some"]
    assert columns[1].words == ("red", "blue")
    return columns[1].values


def test_the_only_column_that_counts_is_worth_all_and_the_rest_nothing() -> None:
    first, *others = importances(by_colour, COLUMNS, T)
    assert first.name == "colour"
    assert first.mean == pytest.approx(0.5, abs=0.03)
    assert 0 < first.deviation < 0.05
    assert [(each.name, each.mean, each.deviation) for each in others] == [
        ("noise", 0, 0),
        ("constant", 0, 0),
        ("some", 0, 0),
    ]


def test_two_columns_share_what_they_say_and_a_harmful_one_is_below_0() -> None:
    def both(columns: Sequence[Column]) -> Array:
        score = 0.6 * columns[1].values + 0.5 * columns[3].values + 0.1 * np.sign(columns[0].values)
        return (score > 0.55).astype(int)

    found = {each.name: each.mean for each in importances(both, COLUMNS, T)}
    assert found["colour"] > found["some"] > found["constant"] == 0
    worth = [each.mean for each in importances(both, COLUMNS, T)]
    assert worth == sorted(worth, reverse=True)

    def harmed(columns: Sequence[Column]) -> Array:
        return np.where(columns[0].values == COLUMNS[0].values, 1 - T, T)  # wrong only where noise is what it was

    assert importances(harmed, COLUMNS, T)[-1].name == "noise"
    assert importances(harmed, COLUMNS, T)[-1].mean < -0.9


def test_a_seed_determines_them_wherever_a_column_stands_and_whatever_is_beside_it() -> None:
    def some(columns: Sequence[Column]) -> Array:
        return next(column for column in columns if column.name == "some").values.astype(int)

    found = importances(some, COLUMNS, T, repeats=3, seed=5)
    assert found == importances(some, COLUMNS, T, repeats=3, seed=5)
    assert found[0] == importances(some, COLUMNS[2:][::-1], T, repeats=3, seed=5)[0]
    assert found[0] != importances(some, COLUMNS, T, repeats=3, seed=6)[0]
    assert importances(some, COLUMNS, T, repeats=1)[0].deviation == 0


def test_the_columns_stay_as_they_were() -> None:
    before = [column.values.copy() for column in COLUMNS]
    importances(by_colour, COLUMNS, T, repeats=2)
    for column, values in zip(COLUMNS, before, strict=True):
        np.testing.assert_array_equal(column.values, values)


def test_missing_cells_move_with_their_column() -> None:
    gaps = Column("gaps", np.where(T == 1, np.nan, 1.0))
    (found,) = importances(lambda columns: columns[0].missing.astype(int), [gaps], T)
    assert found.mean == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("settings", [{"repeats": 0}, {"repeats": 2.5}, {"seed": -1}])
def test_other_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected an integer"):
        importances(by_colour, COLUMNS, T, **settings)
