"""The page: needs nothing else, is well formed, has every section, says the numbers of the claims, escapes, repeats."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sympy import QQ

from derive import check, pipeline, reporting
from derive.analysis.stability import summary
from derive.cli import main
from derive.families import decisions
from derive.report import stability
from derive.spec import read_spec, read_spec_text
from derive.tableau import Kernel

ROOT = Path(__file__).resolve().parents[2]
SPEC = """\
name: {name}
description: {description}
problem:
  kind: diffusion
  schedule: {schedule}
  prediction: {prediction}
method:
  {method}
grid: {{kind: karras, steps: 8}}
references: ["arXiv:2206.00364", "a book <b>"]
"""
VOID = {"meta", "link", "br", "hr", "img", "input"}
ALWAYS = ["formula", "proof", "rows", "coefficients", "stability", "convergence", "law", "cost", "references"]


def spec(method, schedule="edm", prediction="data", name="trial", description="A trial."):
    return SPEC.format(name=name, description=description, schedule=schedule, prediction=prediction, method=method)


MULTISTEP = "{family: exponential_multistep, steps: 2, integrand: noise, variable: rho}"
KINDS = {
    "multistep": (spec(MULTISTEP.strip("{}").replace(", ", "\n  ")), [*ALWAYS, "constant"]),
    "integrals": (
        spec("family: exponential_multistep\n  steps: 2\n  integrand: noise\n  variable: t", "vp_linear", "noise"),
        ALWAYS,
    ),
    "stages": (spec("family: runge_kutta\n  tableau: heun2\n  integrand: noise\n  variable: rho"), ALWAYS),
    "corrector": (
        spec("family: predictor_corrector\n  steps: 2\n  integrand: data\n  variable: lambda", "vp_linear", "noise"),
        [*ALWAYS, "constant"],
    ),
    "table": (
        spec(
            "family: decisions\n  integrand: data\n  variable: lambda\n  table: [{order: 1, integrand: noise}, "
            "{order: 2}, {order: 2, nodes: [0, 2]}, {order: 3}, {order: 3}, {order: 3}, {order: 1, corrector: implicit}, "
            "{order: 1}]",
            "vp_linear",
            "noise",
        ),
        [*ALWAYS, "constant"],
    ),
}


class Reader(HTMLParser):
    """Tags in order, and whether they nest."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.ids, self.claims = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert len(given) == len(attributes), f"{tag} has an attribute twice"
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        if "data-claim" in given:
            self.claims.append([given["data-claim"], ""])
        if tag not in VOID:
            self.open.append((tag, "data-claim" in given))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][1]:
            self.claims[-1][1] += data


@pytest.fixture(scope="module")
def pages():
    """Pages by kind, made when first asked for."""
    made = {}

    def page(kind):
        if kind not in made:
            derived = pipeline.derive(read_spec_text(KINDS[kind][0]))
            made[kind] = (reporting.page(derived), derived)
        return made[kind]

    return page


FAST = "multistep"
SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != FAST]
every = pytest.mark.parametrize("kind", [FAST, *SLOW])


@every
def test_the_page_loads_nothing(pages, kind):
    text, _ = pages(kind)
    for tag, given in Reader(text).tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form", "img"}
        assert not any(name.startswith("on") or name in ("src", "srcset", "poster", "background") for name in given)
        href = given.get("href", "#")
        assert href.startswith(("#", "data:image/png;base64,")) or (tag == "a" and href.startswith("https://"))
    assert "@import" not in text and not re.search(r"url\((?!#)", text) and "javascript:" not in text


@every
def test_the_page_is_well_formed(pages, kind):
    text, _ = pages(kind)
    read = Reader(text)
    assert len(read.ids) == len(set(read.ids))
    for _, given in read.tags:
        for name in ("aria-labelledby", "for"):
            assert set(given.get(name, "").split()) <= set(read.ids)
        if given.get("href", "").startswith("#"):
            assert given["href"][1:] in read.ids
    for pattern in (r"<svg.*?</svg>", r"<math.*?</math>"):
        found = re.findall(pattern, text, re.DOTALL)
        assert found
        for part in found:
            ElementTree.fromstring(part.replace("&nbsp;", " "))
    tags = [tag for tag, _ in read.tags]
    assert [tags.count(tag) for tag in ("h1", "main", "header", "footer", "title")][:4] == [1, 1, 1, 1]
    assert dict(read.tags[1][1]) == {"lang": "en"} or dict(read.tags[0][1]) == {"lang": "en"}
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in read.tags


@every
def test_every_section_is_there_and_every_picture_is_described(pages, kind):
    text, _ = pages(kind)
    found = re.findall(r'<section class="part[^"]*" aria-labelledby="([^"]+)"', text)
    assert sorted(found) == sorted(KINDS[kind][1])
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        root = ElementTree.fromstring(svg)
        assert len(root[0].text) > 5 and len(root[1].text) > 20
    for box in ("Proved", "Measured", "Assumed"):
        assert f">{box}</h2>" in text
    assert "internal" not in text and "WRONG" not in text


@every
def test_numbers_of_the_page_are_those_of_the_claims(pages, kind):
    text, derived = pages(kind)
    claims = Reader(text).claims
    assert {"order", "global_order", "cost.kernels", "error_constant.leading"} <= {key for key, _ in claims}
    for key, shown in claims:
        value = derived.claims
        for part in key.split("."):
            value = value[part]
        assert shown == str(value)


@every
def test_the_verdict_is_what_was_proved_and_measured(pages, kind):
    text, derived = pages(kind)
    line = re.sub(r"<[^>]+>", "", re.search(r'class="verdict">(.*?)</p>', text, re.DOTALL)[1])
    claims = derived.claims
    assert line.startswith(f"Order {claims['order']} proved, {claims['order']}.0")
    assert ("start and last steps" in line) == (claims["order"] != claims["global_order"])


def test_what_a_spec_says_is_escaped():
    hostile = "<script>alert(1)</script><img src=x onerror=y> & $x$"
    text = reporting.page(pipeline.derive(read_spec_text(spec(KINDS_METHOD, description=json.dumps(hostile)))))
    assert "<script" not in text and "<img" not in text and "<b>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "a book &lt;b&gt;" in text


KINDS_METHOD = "family: exponential_multistep\n  steps: 1\n  integrand: noise\n  variable: rho"


@pytest.mark.slow  # the command's test compares two pages as well
def test_the_page_repeats_itself(pages):
    text, derived = pages(FAST)
    assert reporting.page(derived) == text


@pytest.mark.slow
def test_the_page_is_the_same_for_every_hash_seed_and_folder(tmp_path):
    texts = []
    for seed in ("0", "1"):
        folder = tmp_path / seed
        folder.mkdir()
        (folder / "spec.yaml").write_text(KINDS[FAST][0])
        command = [sys.executable, "-m", "derive", "report", "spec.yaml"]
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PATH": ""}
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
        texts.append((folder / "trial.html").read_bytes())
    assert texts[0] == texts[1]


def test_a_coefficient_that_is_wrong_is_said_to_be(monkeypatch):
    derived = pipeline.derive(read_spec_text(spec(KINDS_METHOD)))
    monkeypatch.setattr(check, "compare_rows", lambda module, derived: (7e3, "order 1: b0"))
    text = reporting.page(derived)
    assert "WRONG: order 1: b0 differs from an independent evaluation at 50 digits by 7e+03 units" in text


def test_no_order_is_measured_over_kinks():
    levels = ", ".join(str(round(0.99 * 0.7**i, 6)) for i in range(12))
    source = spec(
        "family: exponential_multistep\n  steps: 1\n  integrand: data\n  variable: lambda\n  final: keep",
        f"{{kind: table, alphas_cumprod: [{levels}]}}", "noise",
    ).replace("kind: karras", "kind: uniform")  # fmt: skip
    derived = pipeline.derive(read_spec_text(source))
    assert any(table.kind == "linear" for table in derived.schedule.tables.values())
    text = reporting.page(derived)
    assert "No order: the table is joined by straight lines" in text
    assert 'id="convergence"' not in text and "Order 1 proved." in re.sub(r"<[^>]+>", "", text)


# --- the command ---


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "spec.yaml").write_text(spec(KINDS_METHOD))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_writes_one_file(folder, capsys):
    assert main(["report", "spec.yaml"]) == 0
    assert capsys.readouterr().out == "written: trial.html\n"
    assert sorted(p.name for p in folder.iterdir()) == ["spec.yaml", "trial.html"]
    assert main(["report", "spec.yaml", "-o", "other.html", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] and data["file"] == "other.html" and data["claims"]["order"] == 1
    assert (folder / "other.html").read_bytes() == (folder / "trial.html").read_bytes()


WRONG = [
    (["report"], 2, "report: the following arguments are required: NAME|SPEC"),
    (["report", "no_such_solver"], 2, "no generated solver: got 'no_such_solver'"),
    (
        ["report", "spec.yaml", "-o", "page.txt"],
        2,
        "report: -o: got 'page.txt'; allowed: a file name that ends in .html",
    ),
    (["report", "spec.yaml", "-o", "no/page.html"], 3, "no: no such folder"),
    (["report", "missing.yaml"], 3, "missing.yaml"),
]


@pytest.mark.parametrize("arguments, code, part", WRONG)
def test_wrong_usage(folder, capsys, arguments, code, part):
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == "" and part in captured.err and captured.err.count("\n") == 1
    assert [p.name for p in folder.iterdir()] == ["spec.yaml"]


def test_a_spec_that_does_not_hold_writes_nothing(folder, capsys):
    (folder / "spec.yaml").write_text(spec(KINDS_METHOD).replace("grid:", "claims: {order: 3}\ngrid:"))
    assert main(["report", "spec.yaml"]) == 2
    assert "claims.order: order 3 is not provable" in capsys.readouterr().err
    assert [p.name for p in folder.iterdir()] == ["spec.yaml"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpmpp_3m", "deis_tab3", "exprk5s8"])
def test_a_page_takes_less_than_twenty_seconds(tmp_path, name):
    """Of processor time: how many others compute at the same moment says nothing about the page."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    source = ROOT / "generated" / name / "spec.yaml"
    assert read_spec(source).name == name
    command = [sys.executable, "-m", "derive", "report", str(source), "-o", str(tmp_path / "page.html")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime < 20


def test_the_region_of_a_block_is_that_of_a_grid_step():
    """Two steps at once: a quarter of the area of the midpoint rule's, and an axis to -1."""
    tableau = decisions.build(Kernel(QQ(0)), [{"order": 1}, {"order": 2, "back": 1}])

    def area(found):
        (drawn,) = stability._plane(found)
        return float(re.search("A region of area ([0-9.]+)", drawn)[1])

    block = summary(tableau)
    assert block.real.exact == "1"
    assert area(block) == pytest.approx(area(replace(block, steps=1)) / 4, abs=0.01)


def test_a_page_of_a_table_says_what_belongs_to_which_step(pages):
    """Weights of every distinct scheme under its steps; the stability of one of them, which is named; the others beside it."""
    text, derived = pages("table")
    tableau = derived.tableau
    heads = re.findall("<h3>(Steps? [0-9].*?)</h3>", text)
    wanted = ["Step 0: 1 value of noise", "Step 1: 2 values of data", "Step 2: 2 values of data (0, 2 steps ago)"]
    wanted += ["Steps 3 to 5: 3 values of data", "Step 6: 1 value of data, corrected and evaluated again"]
    assert heads == [*wanted, "Step 7: 1 value of data"] and len(heads) == len(tableau.schemes)
    told = text[text.index('id="stability"') : text.index('id="convergence"')]
    assert "(steps 3 to 5: 3 values of data)" in told and "<h4>Step 0: 1 value of noise</h4>" in told
    assert told.count("<h4>") == len(tableau.schemes) - 1
    assert "Of the weakest of the steps that the table repeats, steps 3 to 5: 3 values of data." in text
    assert "data: kernel exp(-h*(1 - theta)); noise: kernel exp(h*(1 - theta))" in text.lower()
    assert "which repeat steps 3 to 5." in text and ">data and noise in lambda<" in text
