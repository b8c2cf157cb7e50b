"""What can be done from a terminal with runs? ``minnet predict``, ``evaluate``, ``show``, ``compare``; ``datasets``."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minnet
from minnet.cli.flags import JSON, OUTPUT, Argument, Commands, Report
from minnet.data.named import DATASETS, load_raw
from minnet.data.tables import read_table
from minnet.runs import reading, report
from minnet.runs.config import COLUMN, SWITCH, TEXT, Config, several
from minnet.runs.folder import CONFIG, read_config
from minnet.runs.importance import describe_importances, importances
from minnet.support import expect
from minnet.support.files import refusing, write_text
from minnet.support.scores import named
from minnet.support.text import counted, listed, say, table
from minnet.training import score

RUN = Argument("run", TEXT, "a run folder, or a model file")
ROLES = ("target", "sample_weight", "group", "time")  # of columns that are no features
SAMPLES = Argument(
    "file", TEXT, "the samples, in the columns that the model was trained on; - is standard input, as CSV"
)


def run_settings(run: str) -> Config:
    """Read the settings of a run; of a model file on its own, which has none, the defaults."""
    path = Path(run) / CONFIG
    if not path.is_file():
        return Config()
    content = read_config(Path(run))
    with refusing(path, "a configuration as minnet writes them"):
        return Config.from_json(content)


def read_samples(run: str, file: str, settings: Config, **options: Any) -> tuple[minnet.Model, Any]:
    """Load a model, and read from a file the columns that it was trained on, as a table."""
    model = minnet.load(run)
    table = read_table(file, columns=model.preprocessing.kinds, class_names=model.class_names, **options)
    known = {getattr(settings, role) for role in ROLES} | {*settings.ignore, *model.preprocessing.left_out}
    if unknown := [name for name in table.ignored if name not in known]:
        say(f"not used, the model knows no such column: {listed(unknown)}")
    for note in table.notes:
        say(note)
    unseen = model.preprocessing.unseen(table.columns).items()
    if new := [f"{name!r:.60}: {counted(count, 'cell')} {what}" for name, (count, what) in unseen if count]:
        say("; ".join([*new[:8], "…"] if len(new) > 8 else new))
    return model, table


def predict(run: str, file: str, proba: bool = False, keep: Sequence[str] = (), out: Path | None = None) -> Report:
    """Predict the classes of samples in a file: as CSV, a row for each of its rows."""
    if out and out.resolve() == Path(file).resolve():
        raise ValueError(f"--out {out} is the file with the samples: choose another name")
    model, samples = read_samples(run, file, run_settings(run), labelled=False, keep=keep)
    y = model.predict_proba(samples.features, average=True)
    columns = [[name, *cells] for name, cells in samples.kept.items()]
    columns.append(["class", *(model.class_names[k] for k in y.argmax(axis=1))])
    if proba:  # as few digits as tell floats apart
        columns += [[name, *p] for name, p in zip(model.class_names, y.T.astype(str).tolist(), strict=True)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(zip(*columns, strict=True))
    if not out:
        return 0, [text.getvalue().removesuffix("\n")], None
    write_text(out, text.getvalue())
    return 0, [], None


def evaluate(
    run: str, file: str, target: str | None = None, importance: bool = False, out: Path = Path("importance.png")
) -> Report:
    """Evaluate a run on samples in a file: loss, accuracy, precision, recall and F1 by class."""
    settings = run_settings(run)
    target = target or settings.target
    model, samples = read_samples(run, file, settings, target=target, min_class=settings.min_class)
    t, network = samples.t, model.network
    y = model.predict_proba(samples.features, average=True)
    with np.errstate(over="ignore", invalid="ignore"):
        z = np.log(np.maximum(y, np.finfo(y.dtype).tiny))  # logits whose softmax is y
        values = score(network.output, z, expect.targets(t, network.K, z.dtype), more=True)
    scores = named(values, t, y)
    text, classes = report.class_report(t, y.argmax(axis=1), model.class_names)
    lines = [
        *report.describe_scores(scores, np.bincount(t, minlength=network.K), network),
        f"\n{text.rstrip()}",
    ]
    found: dict[str, Any] = {"samples": len(t), **scores, "classes": classes}
    if importance:
        from minnet.plots import plot_importance, save_picture

        worth = importances(lambda columns: model.predict(columns, average=True), samples.columns, t)
        save_picture(plot_importance(worth, title=f"{samples.name}, {len(t)} samples"), out)
        lines += ["", *describe_importances(worth), f"picture in     {out}"]
        found |= {"importance": [each._asdict() for each in worth], "picture": str(out)}
    return 0, lines, found


def show(run: str) -> Report:
    """Summarise a run: settings, layers, curve, results."""
    return 0, [reading.show(Path(run))], None


def compare(runs: list[str], out: Path = Path("compare.png")) -> Report:
    """Compare runs: what differs in their settings and results, and one picture of their curves."""
    found = [reading.read_run(folder) for folder in reading.find_runs(list(map(Path, runs)))]
    rows, text = reading.compare(found)
    curves = {str(run.folder): run.history for run in found if run.history}
    if curves:
        from minnet.plots import plot_runs, save_picture

        save_picture(plot_runs(curves, title=f"{len(curves)} runs"), out)
    saved = f"picture in     {out}" if curves else "no run has an epoch yet: there is no picture"
    return 0, [text, saved], {"runs": rows, "picture": str(out) if curves else None}


def datasets() -> Report:
    """List the built-in data sets."""
    rows = [["name", "samples", "features", "classes", "what it is, and where it comes from"]]
    for name, about in DATASETS.items():
        raw = load_raw(name)
        rows.append([name, f"{len(raw.x)}", f"{len(raw.feature_names)}", f"{len(raw.class_names)}", about])
    rows.append(["openml:<name or number>", "", "", "", "any for classification on openml.org, e.g. openml:mnist_784"])
    return 0, table(rows, "<>>>"), None


COMMANDS: Commands = {
    predict: (
        RUN,
        SAMPLES,
        Argument("--proba", SWITCH, "the probability of each class, too"),
        Argument("--keep", several(COLUMN), "columns to carry along, such as a name or key"),
        Argument("--out", OUTPUT, "where to write; by default to stdout"),
    ),
    evaluate: (
        RUN,
        SAMPLES,
        Argument("--target", COLUMN, "the column of the classes; by default the run's"),
        Argument("--importance", SWITCH, "what each column is worth, by permuting it, and a picture of it"),
        Argument("--out", OUTPUT, "of --importance: where to save the picture", "importance.png"),
        JSON,
    ),
    show: [Argument("run", TEXT, "a run folder")],
    compare: (
        Argument("runs+", TEXT, "run folders, or folders of runs"),
        Argument("--out", OUTPUT, "where to save the picture", "compare.png"),
        JSON,
    ),
    datasets: (),
}
