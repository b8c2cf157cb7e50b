"""How fast is a training step, and how long until a network is trained? minnet and its peers on the same work.

Each contender runs in a process of its own, with the number of threads that suits it best, and takes turns with the
others; figures are medians and ratios of one run. Before anything is timed, all train five steps from the same weights
on the same batch, in float32: a contender whose losses or weights differ is not timed. Contenders: minnet;
scikit-learn's MLPClassifier; PyTorch, eager and compiled; JAX, jitted by step and with the epoch in a scan; and the
floor, only the matrix products that a step cannot do without. The networks of a stack, each with its own order of
samples, are trained at once by all but scikit-learn, which has no way but one by one. Who is not installed is named as
such: ``pip install -e '.[bench]'`` brings JAX, PyTorch's own instructions say how to install its build for the CPU.
What is printed are tables in Markdown, as in docs/performance.md.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import resource
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Results = dict[str, dict[str, Any]]  # by contender: its figures by name
LR, MOMENTUM = 0.01, 0.9
EPSILON = 1e-12  # of Adam; so small since scikit-learn adds it elsewhere (before the bias of the averages is corrected)
CLOSE = 1e-4  # how far losses and weights after five steps may be apart; rounding makes it up to 1e-5


class Workload(NamedTuple):
    """Widths of the layers, samples a step, rows of data, networks (more than one: a stack); Adam or SGD."""

    widths: tuple[int, ...]
    batch_size: int
    rows: int
    S: int = 1
    adam: bool = False


WORKLOADS = {
    "iris": Workload((4, 16, 3), 16, 105),
    "softreg": Workload((64, 10), 32, 1257),
    "digits": Workload((64, 64, 10), 32, 1257),
    "digits-adam": Workload((64, 64, 10), 32, 1257, adam=True),
    "mnist": Workload((784, 256, 128, 10), 128, 60_000),
    "wide": Workload((784, 1024, 1024, 10), 512, 10_000),
    "iris-32": Workload((4, 16, 3), 16, 105, 32),
    "softreg-32": Workload((64, 10), 32, 1257, 32),
    "digits-32": Workload((64, 64, 10), 32, 1257, 32),
}


class Contender:
    """One way to train: what its ``step`` does is checked, and what its ``epochs`` do is timed.

    ``initial`` are the weights W, b, W, b, … of shapes (D, H) and (1, H), or (S, D, H) and (S, 1, H) of a stack.
    """

    stacks = True  # whether it trains a stack at once

    def __init__(self, work: Workload) -> None:
        self.work, self.rng = work, np.random.default_rng(0)
        self.stack = (work.S,) if work.S > 1 and self.stacks else ()
        self.x = self.rng.standard_normal((work.rows, work.widths[0]), np.float32)
        self.labels = self.rng.integers(work.widths[-1], size=work.rows)
        self.rows = np.tile(np.arange(work.rows), (*self.stack, 1))
        self.initial: list[Array] = []
        for D, H in itertools.pairwise(work.widths):
            W = self.rng.standard_normal((D, H), np.float32) / math.sqrt(D)
            self.initial += [np.tile(w, (*self.stack, 1, 1)) for w in (W, np.zeros((1, H), np.float32))]

    def step(self, rows: Array) -> Any:
        """Train on a batch, rows of shape (B,) or (S, B); return the loss before, of each network or their mean."""
        raise NotImplementedError

    def weights(self) -> list[Array]:
        """Return W, b, W, b, … in any shapes that keep the order of entries; here ``initial``, if changed in place."""
        return self.initial

    def epoch(self) -> None:
        """Train on all batches once, in a new order."""
        order = self.rng.permuted(self.rows, axis=-1)
        for start in range(0, self.work.rows, self.work.batch_size):
            self.step(order[..., start : start + self.work.batch_size])

    def epochs(self, count: int) -> None:
        """Train for some epochs, to the end of the last one's work."""
        for _ in range(count):
            self.epoch()

    def five_steps(self) -> Array:
        """Train five steps on the first batch; return the losses and then the weights, those of a stack's first."""
        losses = [np.ravel(self.step(self.rows[..., : self.work.batch_size]))[0] for _ in range(5)]
        return np.concatenate([losses, *(np.ravel(w[0] if self.stack else w) for w in self.weights())])

    def disagreement(self) -> float:
        """Return how far losses and weights after five steps are from minnet's."""
        return float(np.abs(self.five_steps() - Minnet(self.work).five_steps()).max())

    def trained(self, count: int) -> dict[str, float]:
        """Train for some epochs; return the seconds that it takes for all networks, and the most memory used."""
        started = time.perf_counter()
        self.epochs(count)
        self.pace = (time.perf_counter() - started) / count  # seconds an epoch
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"trained_s": self.pace * count * self.work.S / math.prod(self.stack), "peak_MiB": peak}

    def turn(self, seconds: float) -> float:
        """Train for about so many seconds; return the µs of a step of each network."""
        self.trained(max(1, round(seconds / self.pace)))
        return 1e6 * self.pace / math.ceil(self.work.rows / self.work.batch_size) / math.prod(self.stack)


class Minnet(Contender):
    """Train with minnet itself."""

    def __init__(self, work: Workload) -> None:
        from minnet import SGD, Adam, Dataset, Linear, Network, ReLU
        from minnet.data import Part, Preprocessing, Standardization
        from minnet.training import Training

        super().__init__(work)
        layers = [layer for D, H in itertools.pairwise(work.widths) for layer in (Linear(D, H), ReLU())]
        self.network = Network(layers[:-1], seed=range(work.S) if self.stack else 0)
        self.network.theta[...] = np.concatenate([w.reshape(*self.stack, -1) for w in self.initial], axis=-1)
        optimizer = Adam(LR, epsilon=EPSILON) if work.adam else SGD(LR, MOMENTUM)
        D, K = work.widths[0], work.widths[-1]
        classes, features = tuple(map(str, range(K))), tuple(map(str, range(D)))
        part, unscaled = Part(self.x, self.labels), Standardization(np.zeros(D), np.ones(D))
        data = Dataset("made up", part, part, part, classes, Preprocessing.plain(features, unscaled))
        self.training = Training(self.network, optimizer, data, 10**9, work.batch_size)

    def step(self, rows: Array) -> Any:
        """As the class says."""
        self.training.step(rows)
        return self.training.history.batch_loss[-1]

    def epoch(self) -> None:
        """As the class says."""
        for rows in self.training.rest_of_epoch():
            self.training.step(rows)
        self.training.history.epoch.append(1)

    def weights(self) -> list[Array]:
        """As the class says."""
        return [self.network.theta]


class ScikitLearn(Contender):
    """MLPClassifier, which no stopping rule ends early; of a stack it trains one network."""

    stacks = False

    def __init__(self, work: Workload) -> None:
        from sklearn.neural_network import MLPClassifier

        super().__init__(work)
        self.model = MLPClassifier(
            work.widths[1:-1], solver="adam" if work.adam else "sgd", alpha=0, batch_size=work.batch_size,
            learning_rate_init=LR, momentum=MOMENTUM, nesterovs_momentum=False, epsilon=EPSILON,
        )  # fmt: skip
        self.model.partial_fit(self.x, self.labels, classes=range(work.widths[-1]))  # makes its arrays
        self.model.coefs_, self.model.intercepts_ = self.initial[::2], [b[0] for b in self.initial[1::2]]
        del self.model._optimizer  # which remembers that first step

    def step(self, rows: Array) -> Any:
        """As the class says."""
        return self.model.partial_fit(self.x[rows], self.labels[rows]).loss_

    def epochs(self, count: int) -> None:
        """As the class says."""
        self.model.set_params(max_iter=count, n_iter_no_change=count).fit(self.x, self.labels)


class PyTorch(Contender):
    """PyTorch, eager: addmm, or for a stack baddbmm, and the fused optimizer, which was the fastest of the three."""

    compiled = False

    def __init__(self, work: Workload) -> None:
        import torch

        super().__init__(work)
        x, labels = torch.tensor(self.x), torch.tensor(self.labels)
        self.parameters = [torch.tensor(w, requires_grad=True) for w in self.initial]
        self.S = torch.tensor(float(work.S))
        sgd, adam = (torch.optim.SGD, {"momentum": MOMENTUM}), (torch.optim.Adam, {"eps": EPSILON})
        optimizer, settings = adam if work.adam else sgd
        self.optimizer: Any = optimizer(self.parameters, LR, fused=True, **settings)
        linear = torch.baddbmm if self.stack else torch.addmm

        def loss_of(rows: Any) -> Any:
            a = x[rows]
            for k in range(0, len(self.parameters), 2):
                a = linear(self.parameters[k + 1], a.relu() if k else a, self.parameters[k])
            return torch.nn.functional.cross_entropy(a.flatten(0, -2), labels[rows].flatten())

        self.loss_of, self.tensor = torch.compile(loss_of) if self.compiled else loss_of, torch.from_numpy

    def step(self, rows: Array) -> Any:
        """As the class says."""
        self.optimizer.zero_grad()
        loss = self.loss_of(self.tensor(rows))
        loss.backward(self.S)  # the mean over the networks times S: each network gets the gradient of its own loss
        self.optimizer.step()
        return loss.detach()

    def weights(self) -> list[Array]:
        """As the class says."""
        return [parameter.detach().numpy() for parameter in self.parameters]


class PyTorchCompiled(PyTorch):
    """PyTorch with torch.compile, which needs a C++ compiler."""

    compiled = True


class JaxStep(Contender):
    """JAX, one jitted call a step, in which the old weights make room for the new ones; for a stack under vmap."""

    scan = False

    def __init__(self, work: Workload) -> None:
        import jax
        from jax import numpy as jnp

        super().__init__(work)

        def loss_of(weights: Any, x: Any, t: Any) -> Any:
            for i in range(0, len(weights), 2):
                x = (jax.nn.relu(x) if i else x) @ weights[i] + weights[i + 1]
            return -jnp.take_along_axis(jax.nn.log_softmax(x), t[:, None], axis=1).mean()

        def sgd(k: Any, g: Any, w: Any, v: Any) -> Any:
            v = MOMENTUM * v + g
            return w - LR * v, v

        def adam(k: Any, g: Any, w: Any, m: Any, v: Any) -> Any:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            m_hat, v_hat = m / (1 - 0.9**k), v / (1 - 0.999**k)
            return w - LR * m_hat / (jnp.sqrt(v_hat) + EPSILON), m, v

        def step(state: Any, rows: Any, *data: Any) -> Any:
            k, parameters = state
            loss, dw = jax.value_and_grad(loss_of)([w for w, *_ in parameters], *(array[rows] for array in data))
            return (k + 1, [update(k + 1, g, *p) for g, p in zip(dw, parameters, strict=True)]), loss

        def epoch(state: Any, order: Any, *data: Any) -> Any:
            batches, rest = jnp.split(order, [len(order) // work.batch_size * work.batch_size])
            batches = batches.reshape(-1, work.batch_size)
            state, losses = jax.lax.scan(lambda state, rows: step(state, rows, *data), state, batches)
            return step(state, rest, *data) if rest.size else (state, losses)

        train = epoch if self.scan else step
        self.train = jax.jit(jax.vmap(train, (0, 0, None, None)) if self.stack else train, donate_argnums=0)
        update, factors = (adam, (1, 0, 0)) if work.adam else (sgd, (1, 0))
        self.state = (jnp.zeros(self.stack), [tuple(jnp.array(w * n) for n in factors) for w in self.initial])
        self.data, self.wait = (jnp.array(self.x), jnp.array(self.labels)), jax.block_until_ready

    def step(self, rows: Array) -> Any:
        """As the class says."""
        self.state, loss = self.train(self.state, rows, *self.data)
        return loss

    def epochs(self, count: int) -> None:
        """As the class says."""
        super().epochs(count)
        self.wait(self.state)

    def weights(self) -> list[Array]:
        """As the class says."""
        return [np.asarray(w) for w, *_ in self.state[1]]


class JaxScan(JaxStep):
    """JAX with the whole epoch in one jitted lax.scan."""

    scan = True

    def epoch(self) -> None:
        """As the class says."""
        self.step(self.rng.permuted(self.rows, axis=-1))


class Floor(Contender):
    """The matrix products alone: z = x W, dW = xᵀ dz, and dx = dz Wᵀ but for the first layer; nothing is shuffled."""

    def epoch(self) -> None:
        """As the class says."""
        B, N = self.work.batch_size, self.work.rows
        for size, count in ((B, N // B), (N % B, 1)):
            a = [np.zeros((*self.stack, size, width), np.float32) for width in self.work.widths]
            forward = [(x, W, z) for W, (x, z) in zip(self.initial[::2], itertools.pairwise(a), strict=True)]
            backward = [(x.mT, z, np.empty_like(W)) for x, W, z in forward] + [(z, W.mT, x) for x, W, z in forward[1:]]
            for left, right, out in (forward + backward) * count:
                np.matmul(left, right, out=out)


CONTENDERS: dict[str, type[Contender]] = {
    "minnet": Minnet,
    "scikit-learn": ScikitLearn,
    "PyTorch": PyTorch,
    "PyTorch compiled": PyTorchCompiled,
    "JAX step": JaxStep,
    "JAX scan": JaxScan,
    "floor": Floor,
}


class Worker(ProcessPoolExecutor):
    """A contender in a process of its own."""

    contender: Contender  # in that process

    def __init__(self, contender: type[Contender], work: Workload, threads: int) -> None:
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        os.environ.pop("OPENBLAS_CORETYPE", None)  # it holds NumPy to older instructions than the others may use
        super().__init__(1, multiprocessing.get_context("spawn"))
        self.submit(become, contender, work, threads).result()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the contender, and wait for it."""
        return self.submit(answer, method, *arguments).result()


def become(contender: type[Contender], work: Workload, threads: int) -> None:
    """Make the contender, in its process."""
    warnings.simplefilter("ignore")  # of no convergence
    if hasattr(os, "sched_setaffinity"):  # JAX takes as many threads as there are cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    Worker.contender = contender(work)


def answer(method: str, *arguments: Any) -> Any:
    """Call a method of the contender, in its process."""
    return getattr(Worker.contender, method)(*arguments)


def enter(contender: type[Contender], work: Workload, arguments: argparse.Namespace) -> tuple[Worker, dict[str, Any]]:
    """Check a contender, and try the numbers of threads; return the fastest's worker, and its figures so far.

    Raises
    ------
    ValueError
        If it computes something else than minnet.
    """
    if contender is not Floor:
        with Worker(contender, work, 1) as worker:
            apart = worker.ask("disagreement")
        if not apart <= CLOSE:
            raise ValueError(f"it computes something else (by {apart:.1e})")
    workers = [Worker(contender, work, threads) for threads in arguments.threads]
    figures = [worker.ask("trained", arguments.epochs) for worker in workers]  # compilation counts, imports do not
    turns = [[worker.ask("turn", arguments.seconds) for worker in workers] for _ in range(4)]
    best = int(np.argmin(np.median(turns, axis=0)))
    for worker in {*workers} - {workers[best]}:
        worker.shutdown()
    return workers[best], figures[best] | {"threads": arguments.threads[best]}


def compare(workload: str, names: list[str], arguments: argparse.Namespace) -> Results:
    """Time the contenders on one workload, minnet first.

    Returns
    -------
    dict
        By contender: µs a step of each network; minnet's time of the same round divided by it (median, least, largest);
        seconds until trained; peak MiB; threads. Or the reason why it is missing.
    """
    workers: dict[str, Worker] = {}
    results: Results = {}
    for name in names:
        try:
            workers[name], results[name] = enter(CONTENDERS[name], WORKLOADS[workload], arguments)
        except Exception as error:  # whatever it is, the others can be timed
            results[name] = {"missing": f"not timed: {error}"}
    rounds = [[worker.ask("turn", arguments.seconds) for worker in workers.values()] for _ in range(arguments.rounds)]
    turns = dict(zip(workers, np.transpose(rounds), strict=True))
    for name, worker in workers.items():
        ratios = turns["minnet"] / turns[name]
        results[name] |= {"step_us": np.median(turns[name]), "ratio": np.quantile(ratios, [0.5, 0, 1]).tolist()}
        worker.shutdown()
    return results


def print_table(workload: str, results: Results) -> None:
    """Print the figures of one workload, a contender a line."""
    print(f"\n| {workload:<16} | µs a step | minnet ÷ it | to trained | peak | threads |\n|---|---|---|---|---|---|")
    figures = (
        "{step_us:,.1f} | **{ratio[0]:.2f}** ({ratio[1]:.2f}–{ratio[2]:.2f}) | {trained_s:.2f} s | {peak_MiB:.0f} MiB"
    )
    for name, r in results.items():
        print(f"| {name:<16} |", r.get("missing") or f"{figures.format(**r)} | {r['threads']}", "|", flush=True)


def draw(results: Results, target: Path) -> None:
    """Draw the ratios as a picture."""
    from matplotlib.figure import Figure

    from minnet.plots import COLOURS, MARKERS, save_picture

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    ax = figure.add_subplot()
    for k, name in enumerate(list(CONTENDERS)[1:]):
        timed = {w: r[name] for w, r in enumerate(results.values()) if "ratio" in r.get(name, {})}
        places = [w + 0.11 * (k - 2.5) for w in timed]
        middle, high, low = 1 / np.reshape([r["ratio"] for r in timed.values()], (-1, 3)).T
        ax.errorbar(places, middle, [middle - low, high - middle], fmt=MARKERS[k], color=COLOURS[k], label=name)
    ax.axhline(1, color="0.4", linewidth=1)
    ax.set(yscale="log", ylabel="time of a step ÷ minnet's\n(above 1: slower than minnet)")
    ax.set_xticks(range(len(results)), results)
    ax.yaxis.set_major_formatter("{x:g}×")
    ax.grid(alpha=0.3, axis="y")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6, frameon=False, fontsize="small")
    save_picture(figure, target)


def main() -> None:
    """Run the workloads asked for and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=list(WORKLOADS), action="append", help="by default all")
    parser.add_argument("--only", choices=list(CONTENDERS), action="append", help="contenders beside minnet")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender (default 7)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs until trained (default 20)")
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a turn (default 0.4)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers to try (default 1 2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the ratios")
    arguments = parser.parse_args()
    if min(arguments.rounds, arguments.epochs, *arguments.threads) < 1 or not arguments.seconds > 0:
        parser.error("expected --rounds, --epochs and --threads of at least 1, and --seconds above 0")
    names = [name for name in CONTENDERS if name in ("minnet", *(arguments.only or CONTENDERS))]
    results = {}
    for workload in arguments.workload or WORKLOADS:
        results[workload] = compare(workload, names, arguments)
        if not arguments.json:
            print_table(workload, results[workload])
    if arguments.json:
        print(json.dumps(results))
    if arguments.picture:
        draw(results, arguments.picture)


if __name__ == "__main__":
    main()
