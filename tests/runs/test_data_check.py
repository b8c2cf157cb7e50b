"""Are keys, groups and labels by another name found among the columns of a table, and nothing in healthy ones?"""

import numpy as np
import pytest

from minnet import Dataset
from minnet.data.columns import Column, categories, of_texts
from minnet.data.named import DATASETS, load_raw
from minnet.data.table import Table
from minnet.layers import Array
from minnet.runs.data_check import Diagnosis, check_columns, data_findings, listing


def table_of(columns: list[Column], t: Array) -> Table:
    """Make a table of columns and class numbers."""
    names = [str(k) for k in range(int(t.max()) + 1)]
    return Table("t", columns, t, names, rows=np.arange(len(t)))


def words(name: str, cells: Array) -> Column:
    """Make a column of categories."""
    return categories(of_texts(name, [f"w{cell}" for cell in cells.tolist()]))


def iris(*more: Column) -> tuple[list[Column], Array]:
    """Give the columns of iris, and others, with its classes, which are sorted."""
    raw = load_raw("iris")
    return [*raw.columns, *more], np.asarray(raw.t)


def found(columns: list[Column], t: Array) -> dict[str, Diagnosis]:
    """Make the checks of columns; give those that found something by name."""
    table = table_of(columns, t)
    checks = check_columns(table, Dataset.from_table(table))
    return {each.check: each for each in checks if each.note or not each.right}


def noisy(t: Array, share: float = 0.02) -> Array:
    """Change a share of the labels."""
    rng = np.random.default_rng(0)
    return np.where(rng.random(len(t)) < share, (t + 1) % (t.max() + 1), t)


@pytest.mark.parametrize("name", DATASETS)
def test_named_data_sets_are_healthy(name: str) -> None:
    raw = load_raw(name)
    for seed in range(3):
        assert data_findings(raw, Dataset.from_table(raw, seed=seed)) == []


@pytest.mark.parametrize("as_words", [False, True])
def test_a_column_that_nearly_is_the_label_is_found(as_words: bool) -> None:
    rng = np.random.default_rng(1)
    t = rng.integers(0, 3, 1000)
    x = [Column(f"x{d}", rng.normal(size=1000) + t) for d in range(3)]
    leak = words("told", noisy(t)) if as_words else Column("told", noisy(t).astype(float))
    text = found([*x, leak], t)["single column"].text
    assert text.startswith("alone tells the label: 'told' (9")
    assert text.endswith(": --ignore told")
    assert found(x, t) == {}


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_row_number_is_found_whatever_its_name(shuffled: bool) -> None:
    numbers = np.arange(150.0) + 7
    columns, t = iris(Column("sample", numbers))
    order = np.random.default_rng(0).permutation(150) if shuffled else np.arange(150)
    diagnosis = found([column.take(order) for column in columns], t[order])["keys"]
    assert not diagnosis.right
    assert "'sample' numbers the rows" in diagnosis.text


def test_a_key_is_found_by_its_name_and_a_measurement_is_none() -> None:
    rng = np.random.default_rng(0)
    large = rng.integers(10**5, 10**7, 150).astype(float)
    large[:5] = large[5:10]
    columns, t = iris(Column("customerID", large))
    assert "'customerID' is a key" in found(columns, t)["keys"].text
    assert found(iris(Column("weight", large))[0], t) == {}
    assert found(iris(Column("id", rng.normal(size=150)))[0], t) == {}


def test_a_group_is_a_note() -> None:
    columns, t = iris(Column("patient", np.repeat(np.arange(50.0), 3)))
    diagnosis = found(columns, t)["groups"]
    assert diagnosis.right
    assert "--group 'patient'" in diagnosis.text


def test_a_code_and_its_name_are_one_column_too_many_and_the_features_of_a_category_are_not() -> None:
    cells = np.random.default_rng(0).integers(0, 4, 150)
    columns, t = iris(words("town", cells), Column("code", np.array([9.0, 4.0, 7.0, 1.0])[cells]))
    assert "'town' and 'code'" in found(columns, t)["double columns"].text
    assert found(iris(words("sex", cells % 2), words("town", cells))[0], t) == {}


def test_a_listing_says_what_each_column_is() -> None:
    cells = np.random.default_rng(0).integers(0, 2, 150)
    columns, t = iris(words("town", cells), words("same", 0 * cells))
    table = table_of(columns, t)
    rows = listing(table, Dataset.from_table(table))
    assert [row["kind"] for row in rows] == [*["number"] * 4, "category", "category"]
    assert rows[4]["values"].startswith("2 values, mostly 'w")
    assert rows[5]["left_out"] == "left out: all cells are the same"
