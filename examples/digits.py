"""Sample hand-written digits with a generated solver, without training anything.

    python examples/digits.py edm_dpmpp_2m --steps 10 --out digits.png

The network is the exact denoiser of the 1,797 digits of scikit-learn (a softmax over the data): for every noisy x it
returns E[x0 | x]. So the only error in the picture is the solver's. The solver is any package in ``generated/``;
whatever it expects its network to predict (noise, v, velocity, ..), that output is derived here from the denoised
estimate by the solver's own relation ``x0 = dx x + dr output``.
"""

from __future__ import annotations

import argparse
import struct
import sys
import time
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from derive.measure.problems import digits
from runtime.real import real


def network(solver: Any, plan: Any) -> Any:
    """``model(x, t)`` for the nodes of ``plan``; x: [B, 1, 8, 8], t: [B], equal entries."""
    coefficients, problem = solver.coefficients, digits()
    known = []
    for i in range(plan.steps):
        node = coefficients.node(real(plan.nodes[plan.history + i]))
        level = (float(node.alpha), float(node.sigma))
        known.append((plan.time(i), level, tuple(map(float, coefficients.denoised(node))), plan.input_scale(i)))

    def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        fed = t.reshape(-1)[0].item()
        _, (alpha, sigma), (dx, dr), scale = min(known, key=lambda k: abs(k[0] - fed))
        sample = x / scale
        return (problem.data(sample, alpha, sigma) - dx * sample) / dr

    return model


def sample(name: str, steps: int, count: int, seed: int, dtype: torch.dtype, grid: str | None) -> torch.Tensor:
    """``count`` digits [count, 1, 8, 8] in [-1, 1] by the solver ``name`` (a module name)."""
    solver = import_module(name).solver
    plan = solver.plan(steps=steps, grid=grid)
    level = float(solver.coefficients.sigma(real(plan.nodes[0])))
    noise = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return solver.sample(network(solver, plan), (level * noise).to(dtype), plan=plan)


def tiled(images: torch.Tensor, columns: int, zoom: int = 6, border: int = 1) -> torch.Tensor:
    """[count, 1, 8, 8] in [-1, 1] as one picture, uint8 [height, width], dark ink on white."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    page = torch.full((rows * (height + border) + border, columns * (width + border) + border), 255.0)
    for i, image in enumerate(images):
        top, left = border + i // columns * (height + border), border + i % columns * (width + border)
        page[top : top + height, left : left + width] = (1 - (image[0].float().clamp(-1, 1) + 1) / 2) * 255
    return page.round().to(torch.uint8).repeat_interleave(zoom, 0).repeat_interleave(zoom, 1)


def write_png(path: Path, picture: torch.Tensor) -> None:
    """An 8-bit grey PNG."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = picture.shape
    lines = b"".join(b"\0" + bytes(row.tolist()) for row in picture)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    )


def main(arguments: list[str] | None = None) -> int:
    """Parse, sample, write, say what was done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("solver", help="a package in generated/ (or any importable module that exports `solver`)")
    parser.add_argument("--steps", type=int, default=12, help="steps of the solver (default: %(default)s)")
    parser.add_argument("--grid", help="a grid of the runtime (default: the solver's own)")
    parser.add_argument("--count", type=int, default=64, help="digits to draw (default: %(default)s)")
    parser.add_argument("--columns", type=int, default=16, help="digits in a row (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--out", type=Path, default=Path("digits.png"), help="PNG file (default: %(default)s)")
    args = parser.parse_args(arguments)
    name = args.solver if "." in args.solver else f"generated.{args.solver}"
    began = time.perf_counter()
    images = sample(name, args.steps, args.count, args.seed, getattr(torch, args.dtype), args.grid)
    seconds = time.perf_counter() - began
    write_png(args.out, tiled(images, args.columns))
    gap = torch.cdist(images.reshape(args.count, -1).double(), digits().points).amin(1).median()
    print(
        f"{args.out}: {args.count} digits, {args.steps} steps of {args.solver} in {seconds:.1f} s; "
        f"median distance to the nearest real digit {gap:.3f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
