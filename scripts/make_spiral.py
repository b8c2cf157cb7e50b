"""Make data/spiral.csv, three noisy arms of a spiral; running it again gives the same file."""

from pathlib import Path

import numpy as np

POINTS, ARMS, TURNS, NOISE = 300, 3, 0.75, 0.16


def make_spiral() -> str:
    """Return the CSV text: columns x, y and the arm's number."""
    rng = np.random.default_rng(0)
    lines = ["x,y,arm"]
    for arm in range(ARMS):
        radius = np.linspace(0.1, 1.0, POINTS)
        angle = 2 * np.pi * (TURNS * radius + arm / ARMS) + rng.normal(0, NOISE, POINTS)
        lines += [f"{r * np.cos(a):.6f},{r * np.sin(a):.6f},{arm}" for r, a in zip(radius, angle, strict=True)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    target = Path(__file__).parent.parent / "data" / "spiral.csv"
    target.write_text(make_spiral(), encoding="utf-8")
    print(f"wrote {target}")
