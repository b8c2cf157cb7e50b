"""How does training show that it goes on? On stderr: a live bar on a terminal, else a line every few epochs."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

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


@contextlib.contextmanager
def progress(epochs: int, quiet: bool) -> Iterator[Callable[[History], None]]:
    """Give what shows a history after each of so many epochs."""
    if quiet:
        yield ignore
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = ("epoch", MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[line]}"), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("training", total=epochs, line="")
            yield lambda history: bar.update(task, completed=history.epoch[-1], line=line(history))
    else:
        every = max(1, epochs // 10)
        printed = time.monotonic()

        def print_line(history: History) -> None:
            nonlocal printed
            epoch = history.epoch[-1]
            if epoch % every == 0 or epoch in (1, epochs) or time.monotonic() - printed > PROGRESS_SECONDS:
                printed = time.monotonic()
                with contextlib.suppress(OSError):  # nobody reads it any more: no reason to stop training
                    print(f"epoch {epoch:>{len(str(epochs))}}/{epochs}  {line(history)}", file=sys.stderr, flush=True)

        yield print_line
