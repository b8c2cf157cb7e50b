"""Make tests/pytorch_parity.npz: losses, gradients and weights that PyTorch computes, for minnet to be held against.

To make it again, in an environment with torch 2.13 (CPU) and NumPy: ``python tests/make_pytorch_parity.py``. Everything
is in float64. Parameters are stored as one flat vector in minnet's order: layer by layer, W (inputs × outputs), then b.
"""

import itertools
from pathlib import Path
from typing import Any

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
# What else PyTorch has: layers between the two linear ones, the output layer's settings, the optimizer's.
FEATURES: dict[str, dict[str, Any]] = {
    "batchnorm": {"layers": [torch.nn.BatchNorm1d(5), torch.nn.Tanh()]},
    "layernorm": {"layers": [torch.nn.LayerNorm(5), torch.nn.Tanh()]},
    "leaky": {"layers": [torch.nn.LeakyReLU(0.1)]},
    "adam": {"layers": [torch.nn.Tanh()], "adam": {"lr": 0.05}},
    "adam-decay": {"layers": [torch.nn.Tanh()], "adam": {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.1}},
    "smoothing": {"layers": [torch.nn.Tanh()], "loss": {"label_smoothing": 0.2}},
    "class-weights": {"layers": [torch.nn.Tanh()], "loss": {"weight": [0.5, 2.0, 1.0]}},
    "clipping": {"layers": [torch.nn.Tanh()], "clip": 0.2},
    "all": {  # not with Adam, which blows up the rounding errors of a bias that batch normalisation makes useless
        "layers": [torch.nn.BatchNorm1d(5), torch.nn.LeakyReLU(0.2), torch.nn.LayerNorm(5)],
        "loss": {"weight": [0.5, 2.0, 1.0]}, "clip": 0.2,
    },
}  # fmt: skip
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
    for name, feature in FEATURES.items():
        model = torch.nn.Sequential(torch.nn.Linear(4, 5), *feature["layers"], torch.nn.Linear(5, 3)).double()
        with torch.no_grad():
            for p in model.parameters():
                p += 0.3 * torch.randn_like(p)  # so that no scale is just 1
        W = [p for p in model.parameters() if p.ndim == 2]
        others = [p for p in model.parameters() if p.ndim == 1]
        groups = [{"params": W}, {"params": others, "weight_decay": 0.0}]
        adam = feature.get("adam")
        optimizer = torch.optim.Adam(groups, **adam) if adam else torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        loss_settings = dict(feature.get("loss", {}))
        if "weight" in loss_settings:
            loss_settings["weight"] = torch.tensor(loss_settings["weight"])
        start, losses = flat(model), []
        for step in range(STEPS):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), targets["hard"], **loss_settings)
            loss.backward()
            if step == 0:
                gradient = flat(model, gradients=True)
            if "clip" in feature:
                # clip_grad_norm_ divides by the norm plus 1e-6, and so falls short of the norm asked for
                norm = torch.linalg.vector_norm(torch.cat([p.grad.ravel() for p in model.parameters()]))
                for p in model.parameters():
                    p.grad *= min(1.0, feature["clip"] / norm.item())
            optimizer.step()
            losses.append(loss.item())
        case = f"feature {name} "
        stored |= {case + "start": start, case + "gradient": gradient, case + "end": flat(model)}
        running = [b.numpy() for key, b in model.named_buffers() if "running" in key]
        model.eval()
        stored |= {case + "losses": np.array(losses), case + "logits": model(x).detach().numpy()}
        stored[case + "running"] = np.concatenate([np.zeros(0), *running])
    np.savez_compressed(Path(__file__).with_name("pytorch_parity.npz"), **stored)


if __name__ == "__main__":
    main()
