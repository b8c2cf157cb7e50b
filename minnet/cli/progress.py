"""How does training show that it goes on? On stderr: a live bar on a terminal, else a line every few epochs."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from minnet.history import History
from minnet.runs.job import ignore
from minnet.runs.report import figure

PROGRESS_SECONDS = 10.0


def line(history: History) -> str:
    """Say where training stands: of a stack the median of those networks that have not diverged."""
    columns = (history.train_loss, history.validation_loss, history.validation_accuracy)
    last = np.array([np.atleast_1d(column[-1]) for column in columns])
    alive = np.isfinite(last).all(axis=0)
    loss, validation_loss, accuracy = np.median(last[:, alive], axis=1) if alive.any() else np.full(3, np.nan)
    several = f" (median of {alive.sum()} of {len(alive)} networks)" if len(alive) > 1 else ""
    return f"loss {figure(loss)}  validation {figure(validation_loss)}, {accuracy:.1%} right{several}"


class Progress(NamedTuple):
    """What shows that training goes on.

    Attributes
    ----------
    epoch : callable
        Shows a history after each epoch.
    done : callable
        Shows how many stacks are trained, and of how many, where processes of their own train them.
    """

    epoch: Callable[[History], object]
    done: Callable[[int, int], object]


@contextlib.contextmanager
def progress(epochs: int, quiet: bool, lines: int = 10) -> Iterator[Progress]:
    """Give what shows where training stands: in so many epochs, or in stacks; without a terminal in lines."""
    if quiet:
        yield Progress(ignore, ignore)
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        said = TextColumn("{task.description}"), TextColumn("{task.fields[line]}")
        columns = (said[0], MofNCompleteColumn(), BarColumn(), said[1], TimeRemainingColumn())
        with Bar(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("epoch", total=epochs, line="")
            yield Progress(
                lambda history: bar.update(task, completed=history.epoch[-1], line=line(history)),
                lambda k, n: bar.update(task, completed=k, total=n, description="stacks trained"),
            )
    else:
        every = max(1, epochs // lines)
        printed = time.monotonic()

        def print_line(text: str) -> None:
            nonlocal printed
            printed = time.monotonic()
            with contextlib.suppress(OSError):  # nobody reads it any more: no reason to stop training
                print(text, file=sys.stderr, flush=True)

        def print_epoch(history: History) -> None:
            epoch = history.epoch[-1]
            if epoch % every == 0 or epoch in (1, epochs) or time.monotonic() - printed > PROGRESS_SECONDS:
                print_line(f"epoch {epoch:>{len(str(epochs))}}/{epochs}  {line(history)}")

        yield Progress(print_epoch, lambda k, n: print_line(f"{k} of {n} stacks trained"))
