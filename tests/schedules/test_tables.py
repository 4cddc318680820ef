"""Tables: published rows are reproduced by a short series, the same bytes everywhere; odd tables become polygons."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
import sympy as sp
from mpmath.ctx_mp import MPContext

from derive.schedules import table, vp_linear, vp_scaled_linear
from derive.schedules.table import KINKS
from derive.symbolic.alphabet import t
from derive.symbolic.evaluate import evaluate, mpmath_algebra

ROOT = Path(__file__).resolve().parents[2]
REAL = mpmath_algebra(320)
MP = MPContext()
MP.prec = 200


def published(first: Fraction, last: Fraction, steps: int, power: int) -> list:
    """alpha_bar of the published definition, by a cumulative product at 200 bits."""
    low, high = (MP.mpf(b.numerator) / b.denominator for b in (first, last))
    low, high = (MP.root(b, power) for b in (low, high))
    bars, bar = [], MP.mpf(1)
    for i in range(steps):
        bar *= 1 - (low + (high - low) * i / (steps - 1)) ** power
        bars.append(bar)
    return bars


STABLE_DIFFUSION = published(Fraction(85, 100000), Fraction(12, 1000), 1000, 2)
DDPM = published(Fraction(1, 10000), Fraction(2, 100), 1000, 1)


def logs(path) -> list:
    """2 log alpha at all indices."""
    return [2 * evaluate(path.log_alpha, {t: REAL.number(i)}, REAL, path.tables) for i in range(path.index_steps)]


@pytest.mark.parametrize(
    ("path", "bars"),
    [(vp_scaled_linear.build(), STABLE_DIFFUSION), (vp_linear.build(steps=1000), DDPM)],
    ids=["stable_diffusion", "ddpm"],
)
def test_published_rows_to_2e_14(path, bars):
    """All 1000 values of log alpha_bar to 2e-14 relative, by a series of degree at most 16."""
    assert path.tables["q"].kind == "chebyshev"
    assert len(path.tables["q"].values) <= 17
    assert max(abs(got / MP.log(bar) - 1) for got, bar in zip(logs(path), bars, strict=True)) < 2e-14


def test_exact_rational_product_of_a_short_table():
    """Independent of mpmath: alpha_bar as an exact fraction."""
    path = vp_linear.build(Fraction(1, 1000), Fraction(1, 20), 64)
    bar = Fraction(1)
    for i, got in enumerate(logs(path)):
        bar *= 1 - (Fraction(1, 1000) + (Fraction(1, 20) - Fraction(1, 1000)) * Fraction(i, 63))
        assert abs(REAL.exp(got) * bar.denominator / bar.numerator - 1) < 2e-14


def test_time_of_a_table_is_its_index_and_minus_one_is_data():
    path = vp_scaled_linear.build()
    assert (path.noise, path.data, path.index_steps) == (999, -1, 1000)
    assert (path.noise_end, path.data_end) == ("regular", "sigma_zero")
    assert evaluate(path.alpha, {t: REAL.number(-1)}, REAL, path.tables) == 1


@pytest.mark.parametrize("steps", [2, 3, 16, 100, 500, 4096])
def test_every_length_reproduces_its_rows(steps):
    path = vp_scaled_linear.build(steps=steps)
    bars = published(Fraction(85, 100000), Fraction(12, 1000), steps, 2)
    assert max(abs(got - MP.log(bar)) / max(1, abs(MP.log(bar))) for got, bar in zip(logs(path), bars)) < 2e-14
    assert bool(path.notes) == (path.tables["q"].kind == "linear")


def test_a_list_of_float64_rows_becomes_one_smooth_curve():
    rows = [Fraction(float(bar)) for bar in STABLE_DIFFUSION]
    path = table.build(alphas_cumprod=rows)
    assert path.tables["q"].kind == "chebyshev"
    assert path.notes == ()
    for got, row in zip(logs(path), rows):
        assert abs(REAL.exp(got) * row.denominator / row.numerator - 1) < 1e-12


def test_sigmas_become_a_smooth_curve_that_ends_at_exact_data():
    rows = [Fraction(float(MP.sqrt(1 / bar - 1))) for bar in STABLE_DIFFUSION]
    path = table.build(sigmas=rows)
    assert path.tables["q"].kind == "chebyshev"
    assert path.alpha == 1
    for i, row in enumerate(rows):
        got = evaluate(path.sigma, {t: REAL.number(i)}, REAL, path.tables)
        assert abs(got * row.denominator / row.numerator - 1) < 1e-12
    assert evaluate(path.sigma, {t: REAL.number(-1)}, REAL, path.tables) == 0


def test_rows_without_a_smooth_curve_are_joined_by_lines_and_say_so():
    """Hand-made rows (and float32 roundings of a published table) are not smooth; they are kept to the last bit."""
    rows = [Fraction(x) for x in ("0.9", "0.5", "0.4", "0.1", "0.09", "0.08")]
    path = table.build(alphas_cumprod=rows)
    assert path.tables["q"].kind == "linear"
    assert path.notes == (KINKS,)
    for got, row in zip(logs(path), rows):
        assert abs(REAL.exp(got) * row.denominator / row.numerator - 1) < 1e-15
    middle = evaluate(2 * path.log_alpha, {t: REAL.number(Fraction(1, 2))}, REAL, path.tables)
    assert abs(middle - (logs(path)[0] + logs(path)[1]) / 2) < 1e-90
    uneven = table.build(sigmas=[Fraction(i + 1 + i % 2 * Fraction(1, 3)) for i in range(12)])
    assert uneven.tables["q"].kind == "linear"
    assert uneven.sigma == sp.sqrt(sp.Function("x")(t)).subs(sp.Function("x")(t), uneven.sigma**2)
    assert abs(evaluate(uneven.sigma, {t: REAL.number(4)}, REAL, uneven.tables) - 5) < 1e-14


BAD = [
    ({}, "got neither of alphas_cumprod and sigmas"),
    ({"alphas_cumprod": ["0.5", "0.4"], "sigmas": ["1", "2"]}, "got both of alphas_cumprod and sigmas"),
    ({"alphas_cumprod": ["0.5"]}, "alphas_cumprod has 1 rows; allowed: 2 to 4096"),
    ({"alphas_cumprod": ["0.5"] * 5000}, "alphas_cumprod has 5000 rows"),
    ({"alphas_cumprod": ["0.5", "0.5", "0.4"]}, "alphas_cumprod[1] is 0.5 after 0.5; allowed: strictly falling"),
    ({"alphas_cumprod": ["0.4", "0.5"]}, "alphas_cumprod[1] is 0.5 after 0.4"),
    ({"alphas_cumprod": ["1", "0.5"]}, "alphas_cumprod[0] is 1.0; allowed: above 0 and below 1"),
    ({"alphas_cumprod": ["0.9", "0"]}, "zero terminal SNR"),
    ({"alphas_cumprod": ["0.9", "-0.1"]}, "alphas_cumprod[1] is -0.1; allowed: above 0"),
    ({"sigmas": ["0", "1"]}, "sigmas[0] is 0.0; allowed: above 0"),
    ({"sigmas": ["2", "1"]}, "sigmas[1] is 1.0 after 2.0; allowed: strictly rising"),
]


@pytest.mark.parametrize(("rows", "message"), BAD)
def test_bad_tables_name_the_row(rows, message):
    with pytest.raises(ValueError) as caught:
        table.build(**{name: [Fraction(x) for x in values] for name, values in rows.items()})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_same_coefficients_in_every_process():
    """The bytes do not depend on the hash seed."""
    code = "import sys, derive.schedules.vp_scaled_linear as v; sys.stdout.write(repr(v.build().tables['q']))"
    seen = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        seen.add(done.stdout)
    assert seen == {repr(vp_scaled_linear.build().tables["q"])}


def test_a_table_of_1000_rows_is_fitted_quickly():
    vp_scaled_linear.build()
    start = time.process_time()
    vp_scaled_linear.build()
    assert time.process_time() - start < 0.25
