"""How fast is a training step, and how long until a network is trained? minnet and its peers on the same work.

Each contender runs in a process of its own and takes turns with the others; figures are medians and ratios of one run.
Before anything is timed, all train five steps from the same weights on the same batch, in float32: a contender whose
losses or weights differ is not timed. Contenders: minnet; scikit-learn's MLPClassifier; PyTorch, eager and compiled;
JAX, jitted by step and with the epoch in a scan (for a stack under vmap); and the floor, only the matrix products that
a step cannot do without. One that is not installed is named as missing: ``pip install -e '.[bench]'`` brings JAX, and
PyTorch's own instructions say how to install its build for the CPU.
"""

import argparse
import importlib.util
import itertools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
LR, MOMENTUM = 0.01, 0.9


class Workload(NamedTuple):
    """Widths of the layers, samples a step, rows of data, networks in the stack (0: a single one)."""

    widths: tuple[int, ...]
    batch_size: int
    rows: int
    S: int = 0


WORKLOADS = {
    "iris": Workload((4, 16, 3), 16, 105),
    "softreg": Workload((64, 10), 32, 1257),
    "digits": Workload((64, 64, 10), 32, 1257),
    "mnist": Workload((784, 256, 128, 10), 128, 60_000),
    "wide": Workload((784, 1024, 1024, 10), 512, 10_000),
    "iris-32": Workload((4, 16, 3), 16, 105, 32),
    "softreg-32": Workload((64, 10), 32, 1257, 32),
    "digits-32": Workload((64, 64, 10), 32, 1257, 32),
}


def make_data(work: Workload) -> tuple[Array, Array, list[Array]]:
    """Make samples, labels and the initial weights W, b, W, b, … of one network, in float32."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((work.rows, work.widths[0]), dtype=np.float32)
    labels = rng.integers(work.widths[-1], size=work.rows)
    weights: list[Array] = []
    for D, H in itertools.pairwise(work.widths):
        weights += [(rng.standard_normal((D, H)) / math.sqrt(D)).astype(np.float32), np.zeros((1, H), np.float32)]
    return x, labels, weights


class Contender:
    """One way to train: ``steps`` for the check on one batch, ``epochs`` for the time."""

    def __init__(self, work: Workload) -> None:
        self.work = work
        self.x, self.labels, self.weights = make_data(work)

    def steps(self, count: int) -> tuple[list[float], list[Array]]:
        """Train on the first batch; return the losses before each step, and the weights (of the stack's first)."""
        raise NotImplementedError

    def epochs(self, count: int) -> None:
        """Train for some epochs, shuffling and gathering included."""
        raise NotImplementedError


class Minnet(Contender):
    """Train with minnet itself."""

    def __init__(self, work: Workload) -> None:
        from minnet import SGD, Linear, Network, ReLU
        from minnet.layers import Layer
        from minnet.network import random_streams
        from minnet.output import target_rows

        super().__init__(work)
        layers: list[Layer] = []
        for D, H in itertools.pairwise(work.widths):
            layers += [Linear(D, H), ReLU()]
        self.network = Network(layers[:-1], seed=range(work.S) if work.S else 0)
        self.network.theta[...] = np.concatenate([w.ravel() for w in self.weights])
        self.optimizer, self.t = SGD(LR, MOMENTUM), target_rows(self.labels, work.widths[-1], np.float32)
        self.orders = [random_streams(seed).order for seed in range(max(work.S, 1))]

    def steps(self, count: int) -> tuple[list[float], list[Array]]:
        """As the class says."""
        B, losses = self.work.batch_size, []
        for _ in range(count):
            losses.append(float(np.ravel(self.network.forward(self.x[:B], self.t[:B], check=False))[0]))
            self.network.backward()
            self.optimizer.step(self.network)
        member = self.network[0] if self.work.S else self.network
        return losses, [getattr(layer, name) for layer in member.layers for name in layer.shapes]

    def epochs(self, count: int) -> None:
        """As the class says."""
        from minnet.training import train_epoch

        for _ in range(count):
            train_epoch(self.network, self.optimizer, self.x, self.t, self.work.batch_size, self.orders)


class ScikitLearn(Contender):
    """MLPClassifier; of a stack it trains one network, since it has no other way to train many than one by one."""

    def __init__(self, work: Workload) -> None:
        import sklearn.neural_network  # noqa: F401 - so that no time is counted for it

        super().__init__(work)

    def make(self, epochs: int) -> Any:
        """Make a classifier that no stopping rule ends early."""
        from sklearn.neural_network import MLPClassifier

        settings = {"solver": "sgd", "alpha": 0, "batch_size": self.work.batch_size, "random_state": 0}
        settings |= {"learning_rate_init": LR, "momentum": MOMENTUM, "nesterovs_momentum": False}
        settings |= {"max_iter": epochs, "tol": 0, "n_iter_no_change": max(epochs, 1)}
        return MLPClassifier(self.work.widths[1:-1], **settings)

    def steps(self, count: int) -> tuple[list[float], list[Array]]:
        """As the class says."""
        B, classifier, losses = self.work.batch_size, self.make(1), []
        classifier.partial_fit(self.x[:B], self.labels[:B], classes=range(self.work.widths[-1]))  # makes its arrays
        for ours, w in zip(self.weights[::2], classifier.coefs_, strict=True):
            w[...] = ours
        for ours, b in zip(self.weights[1::2], classifier.intercepts_, strict=True):
            b[...] = ours[0]
        for velocity in classifier._optimizer.velocities:
            velocity[...] = 0
        for _ in range(count):
            classifier.partial_fit(self.x[:B], self.labels[:B])
            losses.append(float(classifier.loss_))
        pairs = zip(classifier.coefs_, classifier.intercepts_, strict=True)
        return losses, [array for W, b in pairs for array in (W, b[np.newaxis])]

    def epochs(self, count: int) -> None:
        """As the class says."""
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.make(count).fit(self.x, self.labels)


class PyTorch(Contender):
    """PyTorch, eager; of a stack it trains one network."""

    compiled = False

    def __init__(self, work: Workload) -> None:
        import torch

        super().__init__(work)
        layers: list[Any] = []
        for D, H in itertools.pairwise(work.widths):
            layers += [torch.nn.Linear(D, H), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for parameter, w in zip(self.model.parameters(), self.weights, strict=True):
                parameter.copy_(torch.from_numpy(w.T.copy().reshape(parameter.shape)))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LR, momentum=MOMENTUM)
        self.tx, self.tt = torch.from_numpy(self.x), torch.from_numpy(self.labels)

        def loss_of(x: Any, t: Any) -> Any:
            return torch.nn.functional.cross_entropy(self.model(x), t)

        self.loss_of = torch.compile(loss_of) if self.compiled else loss_of

    def step(self, x: Any, t: Any) -> Any:
        """Take one step."""
        self.optimizer.zero_grad()
        loss = self.loss_of(x, t)
        loss.backward()
        self.optimizer.step()
        return loss

    def steps(self, count: int) -> tuple[list[float], list[Array]]:
        """As the class says."""
        B = self.work.batch_size
        losses = [self.step(self.tx[:B], self.tt[:B]).item() for _ in range(count)]
        return losses, [np.atleast_2d(parameter.detach().numpy().T) for parameter in self.model.parameters()]

    def epochs(self, count: int) -> None:
        """As the class says."""
        import torch

        for _ in range(count):
            for rows in torch.randperm(self.work.rows).split(self.work.batch_size):
                self.step(self.tx[rows], self.tt[rows])


class PyTorchCompiled(PyTorch):
    """PyTorch with torch.compile, which needs a C++ compiler."""

    compiled = True


class JaxStep(Contender):
    """JAX, one jitted call a step."""

    scan = False

    def __init__(self, work: Workload) -> None:
        import jax
        import jax.numpy as jnp

        super().__init__(work)
        stack = max(work.S, 1)

        def loss_of(weights: Any, x: Any, t: Any) -> Any:
            *hidden, last = zip(weights[::2], weights[1::2], strict=True)
            for W, b in hidden:
                x = jax.nn.relu(x @ W + b)
            z = x @ last[0] + last[1]
            return -jnp.take_along_axis(jax.nn.log_softmax(z), t[:, None], axis=1).mean()

        def step(carry: Any, x: Any, t: Any) -> Any:
            weights, velocity = carry
            loss, gradient = jax.value_and_grad(loss_of)(weights, x, t)
            velocity = [MOMENTUM * v + g for v, g in zip(velocity, gradient, strict=True)]
            return ([w - LR * v for w, v in zip(weights, velocity, strict=True)], velocity), loss

        def gathered(carry: Any, rows: Any, x: Any, t: Any) -> Any:
            return step(carry, x[rows], t[rows])

        def epoch(carry: Any, key: Any, x: Any, t: Any) -> Any:
            N, B = work.rows, work.batch_size
            order = jax.random.permutation(key, N)
            batches = order[: N // B * B].reshape(-1, B)
            carry, losses = jax.lax.scan(lambda c, rows: gathered(c, rows, x, t), carry, batches)
            if N % B:
                carry, _ = gathered(carry, order[N // B * B :], x, t)
            return carry, losses

        together: Any = (lambda f: jax.vmap(f, in_axes=(0, 0, None, None))) if work.S else (lambda f: f)
        same = jax.vmap(step, in_axes=(0, None, None)) if work.S else step
        self.step, self.gathered, self.epoch = jax.jit(same), jax.jit(together(gathered)), jax.jit(together(epoch))
        weights = [jnp.array(np.repeat(w[None], stack, axis=0) if work.S else w) for w in self.weights]
        self.carry = (weights, [jnp.zeros_like(w) for w in weights])
        self.jx, self.jt = jnp.array(self.x), jnp.array(self.labels)
        self.key, self.rng = jax.random.key(0), np.random.default_rng(0)

    def steps(self, count: int) -> tuple[list[float], list[Array]]:
        """As the class says."""
        B, carry, losses = self.work.batch_size, self.carry, []
        for _ in range(count):
            carry, loss = self.step(carry, self.jx[:B], self.jt[:B])
            losses.append(float(np.ravel(loss)[0]))
        return losses, [np.asarray(w[0] if self.work.S else w) for w in carry[0]]

    def epochs(self, count: int) -> None:
        """As the class says."""
        import jax

        S, N, B = self.work.S, self.work.rows, self.work.batch_size
        for _ in range(count):
            if self.scan:
                self.key, key = jax.random.split(self.key)
                self.carry, _ = self.epoch(self.carry, jax.random.split(key, S) if S else key, self.jx, self.jt)
            else:
                order = np.stack([self.rng.permutation(N) for _ in range(max(S, 1))]).reshape((S, N) if S else (N,))
                for start in range(0, N, B):
                    self.carry, _ = self.gathered(self.carry, order[..., start : start + B], self.jx, self.jt)
        jax.block_until_ready(self.carry)


class JaxScan(JaxStep):
    """JAX with the whole epoch in one jitted lax.scan."""

    scan = True


class Floor(Contender):
    """The matrix products alone: z = x W, dW = xᵀ dz, and dx = dz Wᵀ but for the first layer."""

    def epochs(self, count: int) -> None:
        """As the class says."""
        stack = (self.work.S,) if self.work.S else ()
        for B in (self.work.batch_size, self.work.rows % self.work.batch_size):
            arrays = [np.zeros((*stack, B, width), np.float32) for width in self.work.widths]
            matrices = [np.ones((*stack, *pair), np.float32) for pair in itertools.pairwise(self.work.widths)]
            gradients = [np.empty_like(matrix) for matrix in matrices]
            for _ in range(count * (self.work.rows // B if self.work.batch_size == B else B > 0)):
                for k, W in enumerate(matrices):
                    np.matmul(arrays[k], W, out=arrays[k + 1])
                for k in reversed(range(len(matrices))):
                    np.matmul(arrays[k].mT, arrays[k + 1], out=gradients[k])
                    if k:
                        np.matmul(arrays[k + 1], matrices[k].mT, out=arrays[k])


CONTENDERS: dict[str, tuple[type[Contender], str]] = {  # by name: the class, and the package it needs
    "minnet": (Minnet, "minnet"),
    "scikit-learn": (ScikitLearn, "sklearn"),
    "PyTorch": (PyTorch, "torch"),
    "PyTorch compiled": (PyTorchCompiled, "torch"),
    "JAX step": (JaxStep, "jax"),
    "JAX scan": (JaxScan, "jax"),
    "floor": (Floor, "numpy"),
}


def work_as(name: str, workload: str) -> None:
    """Be a contender: answer requests, one JSON list a line, until stdin ends."""
    contender = CONTENDERS[name][0](WORKLOADS[workload])
    np.seterr(all="ignore")
    for line in sys.stdin:
        request, count = json.loads(line)
        started = time.perf_counter()
        if request == "steps":
            losses, weights = contender.steps(count)
            answer: Any = [losses, np.concatenate([w.ravel() for w in weights]).tolist()]
        else:
            contender.epochs(count)
            answer = [time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]
        print(json.dumps(answer), flush=True)


class Worker:
    """A contender in a process of its own."""

    def __init__(self, name: str, workload: str) -> None:
        command = [sys.executable, __file__, "--worker", name, "--workload", workload]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)

    def ask(self, request: str, count: int) -> Any:
        """Send a request and wait for the answer; None if the contender has failed."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("expected pipes to the worker")
        try:
            self.process.stdin.write(json.dumps([request, count]) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else None

    def close(self) -> None:
        """End the process."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()


def disagreement(workload: str, name: str) -> float:
    """Return how far a contender's losses and weights after five steps are from minnet's; inf if it failed."""
    answers = []
    for each in ("minnet", name):
        worker = Worker(each, workload)
        answers.append(worker.ask("steps", 5))
        worker.close()
    if None in answers:
        return math.inf
    return max(float(np.abs(np.subtract(ours, theirs)).max()) for ours, theirs in zip(*answers, strict=True))


def compare(workload: str, rounds: int, trained_epochs: int, seconds: float, names: list[str]) -> dict[str, Any]:
    """Time all contenders on one workload.

    Returns
    -------
    dict
        By contender: µs a step of each network; minnet's time of the same round divided by it (median, least, largest);
        seconds until trained; peak MiB; or the reason why it was not timed.
    """
    work = WORKLOADS[workload]
    results: dict[str, dict[str, Any]] = {}
    workers: dict[str, Worker] = {}
    steps = -(-work.rows // work.batch_size)
    for name in names:
        cls, package = CONTENDERS[name]
        if importlib.util.find_spec(package) is None:
            results[name] = {"missing": f"{package} is not installed"}
            continue
        if cls is not Floor and name != "minnet" and (apart := disagreement(workload, name)) > 1e-3:
            reason = "it failed" if math.isinf(apart) else f"it computes something else (by {apart:.1e})"
            results[name] = {"missing": f"not timed: {reason}"}
            continue
        fresh = Worker(name, workload)  # compilation counts, imports and making the data do not
        fresh.ask("epochs", 0) if cls in (Minnet, Floor) else None
        trained, peak = fresh.ask("epochs", trained_epochs) or (math.inf, 0)
        fresh.close()
        workers[name] = Worker(name, workload)
        warm = workers[name].ask("epochs", 1)
        once = workers[name].ask("epochs", 1)
        if warm is None or once is None:
            results[name] = {"missing": "it failed"}
            workers.pop(name).close()
            continue
        networks = (work.S or 1) if cls not in (ScikitLearn, PyTorch, PyTorchCompiled) else 1
        repeat = (work.S or 1) // networks  # one by one, compiled once
        results[name] = {
            "epochs": max(1, min(200, round(seconds / once[0]))), "networks": networks, "times": [],
            "trained_s": trained + (repeat - 1) * trained_epochs * once[0], "peak_MiB": peak / 1024,
        }  # fmt: skip
    for _ in range(rounds):
        for name, worker in workers.items():
            r = results[name]
            r["times"].append(worker.ask("epochs", r["epochs"])[0] / r["epochs"] / steps / r["networks"] * 1e6)
    for name, worker in workers.items():
        worker.close()
        r = results[name]
        times = r.pop("times")
        ratios = [ours / theirs for ours, theirs in zip(results["minnet"].get("all", times), times, strict=True)]
        r |= {"step_us": statistics.median(times), "ratio": statistics.median(ratios), "all": times}
        r |= {"ratio_min": min(ratios), "ratio_max": max(ratios)}
    for r in results.values():
        r.pop("all", None)
    return results


def draw(results: dict[str, dict[str, Any]], target: Path) -> None:
    """Draw the ratios as a picture."""
    from matplotlib.figure import Figure

    from minnet.plots import COLOURS, MARKERS, save_picture

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    ax = figure.add_subplot()
    for k, name in enumerate(name for name in CONTENDERS if name != "minnet"):
        points = [(w, r[name]) for w, r in enumerate(results.values()) if "ratio" in r.get(name, {})]
        middle = [1 / r["ratio"] for _, r in points]
        low = [m - 1 / r["ratio_max"] for m, (_, r) in zip(middle, points, strict=True)]
        high = [1 / r["ratio_min"] - m for m, (_, r) in zip(middle, points, strict=True)]
        places = [w + 0.11 * (k - 2.5) for w, _ in points]
        ax.errorbar(places, middle, [low, high], fmt=MARKERS[k], color=COLOURS[k], label=name, markersize=6, capsize=2)
    ax.axhline(1, color="0.4", linewidth=1)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}×")
    ax.set_xticks(range(len(results)), results)
    ax.set_ylabel("time of a step ÷ minnet's\n(above 1: slower than minnet)")
    ax.grid(alpha=0.3, axis="y")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6, frameon=False, fontsize="small")
    save_picture(figure, target)


def main() -> None:
    """Run the workloads asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=list(WORKLOADS), action="append", help="by default all")
    parser.add_argument("--only", choices=list(CONTENDERS), action="append", help="contenders beside minnet")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender (default 7)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs until trained (default 20)")
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a turn (default 0.4)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each contender (default 2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the ratios")
    parser.add_argument("--worker", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work_as(arguments.worker, arguments.workload[0])
        return
    if min(arguments.rounds, arguments.epochs, arguments.threads) < 1 or not arguments.seconds > 0:
        parser.error("expected --rounds, --epochs and --threads of at least 1, and --seconds above 0")
    os.environ.pop("OPENBLAS_CORETYPE", None)  # which holds NumPy to older instructions than the others may use
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(arguments.threads)
    if hasattr(os, "sched_setaffinity"):  # JAX takes as many threads as there are cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    names = [name for name in CONTENDERS if arguments.only is None or name in ("minnet", *arguments.only)]
    results = {}
    for workload in arguments.workload or WORKLOADS:
        results[workload] = compare(workload, arguments.rounds, arguments.epochs, arguments.seconds, names)
        if arguments.json:
            continue
        print(f"\n{workload:<18}{'µs a step':>12}{'minnet ÷ it':>13}{'spread':>16}{'to trained':>12}{'peak':>10}")
        for name, r in results[workload].items():
            if "missing" in r:
                print(f"{name:<18}  {r['missing']}")
                continue
            spread = f"{r['ratio_min']:.2f} to {r['ratio_max']:.2f}"
            trained, peak = f"{r['trained_s']:.2f} s", f"{r['peak_MiB']:.0f} MiB"
            print(f"{name:<18}{r['step_us']:>12.1f}{r['ratio']:>13.2f}{spread:>16}{trained:>12}{peak:>10}", flush=True)
    if arguments.json:
        print(json.dumps(results))
    if arguments.picture:
        draw(results, arguments.picture)


if __name__ == "__main__":
    main()
