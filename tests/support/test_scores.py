"""Are the figures in which each class counts the same those of scikit-learn?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from minnet.layers import Array
from minnet.support.scores import area_under_roc, class_scores, named, uneven

CLASSES = st.integers(0, 4)


@given(st.lists(st.tuples(CLASSES, CLASSES, CLASSES), min_size=1, max_size=40))
def test_class_scores_are_scikit_learns_for_a_network_and_for_each_of_a_stack(rows: list[tuple[int, ...]]) -> None:
    t, *networks = np.array(rows).T
    for predicted, *together in zip(networks, *class_scores(np.array(networks), t, 5), strict=True):
        alone = class_scores(predicted, t, 5)
        occurring = np.unique(t)
        hits = [(predicted[t == k] == k).mean() for k in occurring]
        f1 = f1_score(t, predicted, labels=occurring, average="macro", zero_division=0)
        np.testing.assert_allclose(alone, [np.mean(hits), f1], rtol=1e-12)
        np.testing.assert_array_equal(together, alone)
        if set(predicted) <= set(t) and len(occurring) > 1:  # else scikit-learn warns
            assert alone[0] == pytest.approx(balanced_accuracy_score(t, predicted), rel=1e-12)


def test_the_area_is_scikit_learns_and_unknown_of_a_network_that_diverged() -> None:
    rng = np.random.default_rng(0)
    t, second = rng.integers(0, 2, 50), rng.random((3, 50))
    second[1, 7] = np.nan
    y: Array = np.stack([1 - second, second], axis=-1)
    areas = area_under_roc(t, y)
    np.testing.assert_allclose(areas[[0, 2]], [roc_auc_score(t, second[s]) for s in (0, 2)])
    assert np.isnan(areas[1])
    assert area_under_roc(t, y[0]) == areas[0]
    assert named((1, 2, 3, 4), t, y[0]) == {"loss": 1, "accuracy": 2, "balanced_accuracy": 3, "f1": 4, "auc": areas[0]}
    assert "auc" not in named((1, 2, 3, 4), np.ones(50, int), y[0])  # there is no such area


def test_classes_are_uneven_beyond_three_to_two() -> None:
    assert not uneven(np.array([15, 10, 12]))
    assert uneven(np.array([16, 10, 12]))
