"""Make tests/pytorch_parity.npz: losses, gradients and weights that PyTorch computes, for minnet to be held against.

To make it again, in an environment with torch 2.13 (CPU) and NumPy: ``python tests/make_pytorch_parity.py``. Everything
is in float64. Parameters are stored as one flat vector in minnet's order: layer by layer, W (inputs × outputs), then b.
"""

import itertools
from pathlib import Path

import numpy as np
import torch

WIDTHS = {1: (4, 3), 2: (4, 5, 3), 4: (4, 5, 4, 5, 3)}
ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid}
OPTIMIZERS = {
    "plain": {"lr": 0.2},
    "momentum": {"lr": 0.1, "momentum": 0.9},
    "nesterov": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "decay": {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
}
STEPS, N = 10, 7


def flat(model: torch.nn.Sequential, gradients: bool = False) -> np.ndarray:
    """Flatten the parameters or their gradients in minnet's order; PyTorch keeps W as outputs × inputs."""
    arrays = [(p.grad if gradients else p).detach().numpy() for p in model.parameters()]
    return np.concatenate([(a.T if a.ndim == 2 else a).ravel() for a in arrays])


def main() -> None:
    """Train every network for a few full-batch steps and store what happened."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    x = torch.randn(N, 4)
    targets = {"hard": torch.arange(N) % 3, "soft": torch.softmax(torch.randn(N, 3), dim=1)}
    stored = {"x": x.numpy(), "hard": targets["hard"].numpy(), "soft": targets["soft"].numpy()}
    for depth, widths in WIDTHS.items():
        for activation in ACTIVATIONS if depth > 1 else ["relu"]:
            for kind, t in targets.items():
                for optimizer_name, settings in OPTIMIZERS.items():
                    layers: list[torch.nn.Module] = []
                    for D, H in itertools.pairwise(widths):
                        layers += [torch.nn.Linear(D, H), ACTIVATIONS[activation]()]
                    model = torch.nn.Sequential(*layers[:-1])
                    weights = [p for p in model.parameters() if p.ndim == 2]
                    biases = [p for p in model.parameters() if p.ndim == 1]
                    optimizer = torch.optim.SGD(
                        [{"params": weights}, {"params": biases, "weight_decay": 0.0}], **settings
                    )
                    start, losses = flat(model), []
                    for step in range(STEPS):
                        optimizer.zero_grad()
                        loss = torch.nn.functional.cross_entropy(model(x), t)
                        loss.backward()
                        if step == 0:
                            gradient = flat(model, gradients=True)
                        optimizer.step()
                        losses.append(loss.item())
                    case = f"{depth} {activation} {kind} {optimizer_name} "
                    stored |= {case + "start": start, case + "gradient": gradient, case + "end": flat(model)}
                    stored[case + "losses"] = np.array(losses)
    np.savez_compressed(Path(__file__).with_name("pytorch_parity.npz"), **stored)


if __name__ == "__main__":
    main()
