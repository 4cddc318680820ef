"""What a step costs: network calls, kernels, tensors read and written, memory."""

from __future__ import annotations

from html import escape

from derive.report.material import Material, Section, claim, paragraph, table

PLACE = 90


def build(material: Material) -> Section:
    claims, cost = material.claims, material.claims["cost"]
    rows = [
        ("network calls a step", claim("evaluations_per_step", claims["evaluations_per_step"])),
        ("kernels a step", claim("cost.kernels", cost["kernels"])),
        ("tensors read a step", claim("cost.reads", cost["reads"])),
        ("tensors written a step", claim("cost.writes", cost["writes"])),
        (_history(material.derived.proof.kept), claim("history", claims["history"])),
    ]
    told = table(
        ("what", "how much"), [(escape(name), value) for name, value in rows], "The cost of one step, network aside"
    )
    streams = cost["reads"] + cost["writes"]
    megabytes = streams * 4 * 4 * 128 * 128 / 2**20
    note = (
        f"{streams} streams of the size of the sample: for one sample of 4 x 128 x 128 numbers in float32, {megabytes:.2f} MiB "
        "of memory traffic a step. Within a kernel every value is read once and written once."
    )
    return Section("cost", "Cost", told + paragraph(note))


def _history(integrands: int) -> str:
    return "integrand values kept between steps" + (f", each in {integrands} integrands" if integrands > 1 else "")
