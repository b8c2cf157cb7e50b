"""Which rows are learned from, which validate, which test? Splits by class, by group or by time, and folds of them.

No row is in two parts of a split. Rows that belong together (`groups`) can be kept in one part, and what is tested can
be kept later than all that was learned from (`time`).
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minnet.support.stack import Array

SPLITS = ("train", "validation", "test")
BLOCKS = 20  # of groups; as many are kept aside as come near to the share
BUNDLES = 500  # into which more groups than that are bound at random, since balancing them takes time
Rows = dict[str, Array]
Names = Sequence[str] | None


def split_rows(
    labels: Array,
    seed: int,
    validation: float,
    test: float,
    groups: Array | None = None,
    time: Array | None = None,
    class_names: Names = None,
) -> Rows:
    """Split row numbers into parts, with classes in proportion.

    Parameters
    ----------
    labels : array of int of shape (N,)
        Class numbers.
    seed : int
        Determines the split. From 0 to 2³² − 1.
    validation, test : float
        The shares of the rows for validation and for testing; a ``test`` of 0 makes no such part.
    groups : array of int of shape (N,), optional
        Rows with the same number stay in one part; classes are in proportion where that can be. −1 is missing.
    time : array of float of shape (N,), optional
        When each row was: testing gets the last ones, validation those before them, training all that was earlier. Rows
        of the same time stay in one part. NaN is missing.
    class_names : sequence of str, optional
        What the classes are called in messages; their numbers by default.

    Returns
    -------
    dict of str to array
        Row numbers of "train", "validation" and, if it has a share, "test".

    Raises
    ------
    ValueError
        If a class has too few rows to be in every part, or with groups or time none to be learned from; if there are
        fewer groups or times than parts, or one is missing.
    """
    check_order(groups, time)
    N, parts = len(labels), SPLITS if test else SPLITS[:2]
    if time is not None:
        wanted = [N * (1 - test - validation), *([N * (1 - test)] if test else [])]
        rows = dict(zip(parts, by_time(time, np.arange(N), wanted), strict=True))
        return check_learned(labels, rows, class_names)
    if groups is not None:
        check_groups(groups, len(parts), "one for each part")
        random, rest, kept = np.random.RandomState(seed), np.arange(N), list[Array]()
        for share in [test, validation] if test else [validation]:
            rest, part = groups_aside(labels, groups, rest, share * N, random, class_names)
            kept.insert(0, part)
        return dict(zip(parts, [rest, *kept], strict=True))
    why = f"one for each part ({', '.join(parts)})"
    check_counts(labels, len(parts), why, "these are too few to learn from", class_names)
    return dict(zip(parts, stratified_split(labels, seed, validation, test), strict=True))


def fold_rows(
    labels: Array,
    folds: int,
    repeats: int,
    seed: int,
    validation: float,
    groups: Array | None = None,
    time: Array | None = None,
    class_names: Names = None,
) -> list[Rows]:
    """Split row numbers for cross-validation: in each repeat, each row is tested once.

    Without groups and time all training parts are of the same size, so that they can be learned side by side.

    Parameters
    ----------
    labels, seed, groups, class_names
        As `split_rows` takes them.
    folds : int
        How many splits a repeat has, at least 2.
    repeats : int
        How often all of it is done, each time split anew.
    validation : float
        The share of all rows for validation, which come from those that a fold does not test.
    time : array of float of shape (N,), optional
        As `split_rows` takes it. Of ``folds`` + 1 blocks of time the first is never tested, and each of the others by
        what was learned from all before it, of which ``validation`` is then a share as well.

    Returns
    -------
    list of dict of str to array
        ``folds`` × ``repeats`` splits as `split_rows` returns them, repeat by repeat.

    Raises
    ------
    ValueError
        As `split_rows` says, of folds; if time decides and there is more than one repeat.
    """
    check_order(groups, time)
    random = np.random.RandomState(seed)
    if time is not None:
        if repeats > 1:
            raise ValueError("--repeats: folds by --time are the same each time: leave it out")
        splits = time_folds(time, folds, validation)
    elif groups is not None:
        splits = group_folds(labels, groups, folds, repeats, validation, random, class_names)
    else:
        needed = 4 if folds == 2 else folds  # what a fold does not test has one to learn and one to validate
        why = f"so that each of {folds} folds learns, validates and tests one"
        check_counts(labels, needed, why, "use fewer --folds", class_names)
        return stratified_folds(labels, folds, repeats, validation, random)
    return [check_learned(labels, rows, class_names) for rows in splits]


def stratified_split(labels: Array, seed: int, validation: float, test: float) -> list[Array]:
    """Split row numbers into training, validation and, unless its share is 0, test, each with classes in proportion."""
    rest, parts = np.arange(len(labels)), list[Array]()
    for share, needed in ((test, 2), (validation, 1)):
        if share:
            rest, part = stratified_aside(labels, rest, share, needed, seed)
            parts.append(part)
    return [rest, *reversed(parts)]


def stratified_aside(labels: Array, rest: Array, share: float, needed: int, random: Any) -> tuple[Array, Array]:
    """Keep a share of all rows aside, and in the rest so many of each class as are needed; return rest and part."""
    from sklearn.model_selection import train_test_split

    K = int(labels.max()) + 1
    held_out = max(round(share * len(labels)), K)  # at least one sample of each class
    if len(rest) - held_out < K:
        raise ValueError(
            f"{len(labels)} samples are too few to keep a share of {share:g} of them aside: use a smaller one"
        )
    rest, part = train_test_split(rest, test_size=held_out, stratify=labels[rest], random_state=random)
    for k in range(K):  # one for the part, and for the rest as many as the other parts need
        rest, part = even_out(labels, k, rest, part, 1)
        part, rest = even_out(labels, k, part, rest, needed)
    return rest, part


def even_out(labels: Array, k: int, giver: Array, taker: Array, needed: int) -> tuple[Array, Array]:
    """Move row numbers from one split to another that has fewer than needed of class k."""
    lacking = max(0, needed - int((labels[taker] == k).sum()))
    moved = np.flatnonzero(labels[giver] == k)[:lacking]
    return np.delete(giver, moved), np.append(taker, giver[moved])


def stratified_folds(labels: Array, folds: int, repeats: int, validation: float, random: Any) -> list[Rows]:
    """Split into folds whose training parts have the same size; what is too much of one goes to its validation part."""
    splits = []
    for test in tested(labels, None, folds, repeats, random):
        rest, part = stratified_aside(labels, others(labels, test), validation, 1, random)
        splits.append({"train": rest, "validation": part, "test": test})
    least = min(len(rows["train"]) for rows in splits)
    for rows in splits:
        while len(rows["train"]) > least:
            most = int(np.bincount(labels[rows["train"]]).argmax())  # of which the training part lacks one the least
            one_more = int((labels[rows["validation"]] == most).sum()) + 1
            rows["train"], rows["validation"] = even_out(labels, most, rows["train"], rows["validation"], one_more)
    return splits


def tested(labels: Array, groups: Array | None, folds: int, repeats: int, random: Any) -> Iterator[Array]:
    """Give the rows that each fold of each repeat tests, with classes in proportion."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    for _ in range(repeats):
        if groups is not None:
            _, codes = np.unique(groups, return_inverse=True)
            groups = random.permutation(codes.max() + 1)[codes] % BUNDLES
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a class has fewer rows than there are folds
            splits = splitter(folds, shuffle=True, random_state=random).split(labels, labels, groups)
            yield from [test for _, test in splits]


def others(labels: Array, test: Array) -> Array:
    """Give the rows that a fold does not test."""
    return np.setdiff1d(np.arange(len(labels)), test)


def group_folds(
    labels: Array, groups: Array, folds: int, repeats: int, validation: float, random: Any, class_names: Names
) -> list[Rows]:
    """Split into folds, each group in one part of each."""
    check_groups(groups, max(folds, len(SPLITS)), f"for {folds} folds")
    if np.bincount(labels).max() < folds:
        raise ValueError(f"--folds {folds}: expected a class of at least so many rows: use fewer folds")
    splits, size = [], validation * len(labels)
    for test in tested(labels, groups, folds, repeats, random):
        rest, part = groups_aside(labels, groups, others(labels, test), size, random, class_names)
        splits.append({"train": rest, "validation": part, "test": test})
    return splits


def groups_aside(
    labels: Array, groups: Array, rest: Array, size: float, random: Any, class_names: Names
) -> tuple[Array, Array]:
    """Keep groups of about so many rows aside, but of no class all that the rest has; return rest and part.

    Blocks of groups, with classes in proportion, are gone through in a random order. Each is taken that brings the part
    nearer to its size, and if there is none, the smallest.
    """
    left = np.bincount(labels[rest], minlength=int(labels.max()) + 1)
    n = min(BLOCKS, len(np.unique(groups[rest])), int(left.max()))
    if n < 2:
        raise ValueError("--group: one is left for training and validation, expected at least two; name another column")
    blocks = list(tested(labels[rest], groups[rest], n, 1, random))
    taken, possible, only = list[Array](), list[Array](), 0
    for k in random.permutation(n):
        counts = np.bincount(labels[rest[blocks[k]]], minlength=len(left))
        if (all_of := (left > 0) & (counts == left)).any():
            only = int(all_of.argmax())
            continue
        possible.append(blocks[k])
        lacking = size - sum(map(len, taken))
        if abs(lacking - len(blocks[k])) < abs(lacking):
            taken.append(blocks[k])
            left = left - counts
    if not possible:
        raise lost(labels, only, class_names)
    part = np.sort(np.concatenate(taken or [min(possible, key=len)]))
    return np.delete(rest, part), rest[part]


def time_folds(time: Array, folds: int, validation: float) -> list[Rows]:
    """Split into folds that test a block of time each, on what was before it."""
    N = len(time)
    first, *blocks = by_time(time, np.arange(N), [N * k / (folds + 1) for k in range(1, folds + 1)], spare=1)
    splits = []
    for block in blocks:
        rest, part = by_time(time, first, [len(first) * (1 - validation)])
        splits.append({"train": rest, "validation": part, "test": block})
        first = np.concatenate([first, block])
    return splits


def by_time(time: Array, rows: Array, wanted: Sequence[float], spare: int = 0) -> list[Array]:
    """Cut rows, in the order of time, near these places, but never between rows of the same time.

    Before the first cut so many places are spared where it could be cut again.
    """
    rows = rows[np.argsort(time[rows], kind="stable")]
    places = np.flatnonzero(np.diff(time[rows]) > 0) + 1
    if len(places) < len(wanted) + spare:
        needed = len(wanted) + spare + 1
        raise ValueError(
            f"--time: expected at least {needed} different times, got {len(places) + 1}: use another column"
        )
    cuts, first = list[int](), spare
    for k, place in enumerate(wanted, 1):
        possible = places[first : len(places) - len(wanted) + k]  # some are left for those to come
        nearest = int(np.abs(possible - place).argmin())
        cuts.append(int(possible[nearest]))
        first += nearest + 1
    return np.split(rows, cuts)


def check_order(groups: Array | None, time: Array | None) -> None:
    """Raise ValueError if both groups and time are given, or one of them is missing somewhere."""
    if groups is not None and time is not None:
        raise ValueError("--group and --time: a split is by one of them; leave the other out")
    for name, missing in (
        ("group", groups is not None and groups < 0),
        ("time", time is not None and np.isnan(time)),
    ):
        if np.any(missing):
            found = f"{np.sum(missing)} of {np.size(missing)} rows have none"
            raise ValueError(f"--{name}: {found}: fill these cells in, leave out the rows, or name another column")


def check_groups(groups: Array, needed: int, why: str) -> None:
    """Raise ValueError unless there are as many groups as are needed."""
    found = len(np.unique(groups))
    if found < needed:
        raise ValueError(
            f"--group: expected at least {needed} different values, {why}, got {found}: use another column"
        )


def check_counts(labels: Array, needed: int, why: str, otherwise: str, class_names: Names) -> None:
    """Raise ValueError unless each class has as many rows as are needed."""
    counts = np.bincount(labels)
    if counts.min() < needed:
        rows, whose = amount(labels, int(counts.argmin()), class_names)
        remedy = f"--min-class {needed} leaves such rows out" if two_have(counts, needed) else otherwise
        raise ValueError(f"{whose} has {rows}: expected at least {needed}, {why}; {remedy}")


def two_have(counts: Array, needed: int) -> bool:
    """Tell whether there would be two classes left if those with fewer rows than needed were left out."""
    return int((counts >= needed).sum()) > 1


def check_learned(labels: Array, rows: Rows, class_names: Names) -> Rows:
    """Return a split in which each class can be learned, or raise ValueError."""
    missing = np.setdiff1d(labels, labels[rows["train"]])
    if missing.size:
        raise lost(labels, int(missing[0]), class_names)
    return rows


def lost(labels: Array, k: int, class_names: Names) -> ValueError:
    """Make the error that class k has no row that could be learned from."""
    rows, whose = amount(labels, k, class_names)
    counts = np.bincount(labels)
    needed = int(counts[k]) + 1
    remedy = f"--min-class {needed} leaves it out" if two_have(counts, needed) else "use another column"
    return ValueError(f"{whose} has {rows}, none of which is left to learn from by this --group or --time; {remedy}")


def amount(labels: Array, k: int, class_names: Names) -> tuple[str, str]:
    """Say how many rows a class has, and which it is."""
    n = int((labels == k).sum())
    return f"{n} row{'s' * (n != 1)}", f"class {str(k if class_names is None else class_names[k])!r:.60}"
