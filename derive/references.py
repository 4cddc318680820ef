"""The papers that schedules, predictions and methods come from, and their BibTeX.

A reference is text such as ``arXiv:2211.01095 (Eq. 12)`` or ``doi:10.1017/S0962492910000048``: what names the paper is
picked out of it; a paper that is not in the table is cited by its number alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_ARXIV = re.compile(r"\b([0-9]{4}\.[0-9]{4,5})(?:v[0-9]+)?\b")
_DOI = re.compile(r"\b(10\.[0-9]{4,9}/[A-Za-z0-9._:/()-]*[A-Za-z0-9])")


class Paper(NamedTuple):
    """key: the BibTeX key; authors joined by "and"; where: journal or booktitle, or empty for a preprint."""

    key: str
    authors: str
    title: str
    year: int
    where: str = ""


PAPERS: dict[str, Paper] = {
    "2006.11239": Paper("ho2020ddpm", "Ho, Jonathan and Jain, Ajay and Abbeel, Pieter",
                        "Denoising Diffusion Probabilistic Models", 2020),
    "2010.02502": Paper("song2020ddim", "Song, Jiaming and Meng, Chenlin and Ermon, Stefano",
                        "Denoising Diffusion Implicit Models", 2020),
    "2011.13456": Paper("song2020score", "Song, Yang and Sohl-Dickstein, Jascha and Kingma, Diederik P. and Kumar, "
                        "Abhishek and Ermon, Stefano and Poole, Ben",
                        "Score-Based Generative Modeling through Stochastic Differential Equations", 2020),
    "2102.09672": Paper("nichol2021improved", "Nichol, Alex and Dhariwal, Prafulla",
                        "Improved Denoising Diffusion Probabilistic Models", 2021),
    "2112.10752": Paper("rombach2021ldm", "Rombach, Robin and Blattmann, Andreas and Lorenz, Dominik and Esser, "
                        "Patrick and Ommer, Bj{\\\"o}rn",
                        "High-Resolution Image Synthesis with Latent Diffusion Models", 2021),
    "2202.00512": Paper("salimans2022progressive", "Salimans, Tim and Ho, Jonathan",
                        "Progressive Distillation for Fast Sampling of Diffusion Models", 2022),
    "2204.13902": Paper("zhang2022deis", "Zhang, Qinsheng and Chen, Yongxin",
                        "Fast Sampling of Diffusion Models with Exponential Integrator", 2022),
    "2206.00364": Paper("karras2022edm", "Karras, Tero and Aittala, Miika and Aila, Timo and Laine, Samuli",
                        "Elucidating the Design Space of Diffusion-Based Generative Models", 2022),
    "2206.00927": Paper("lu2022dpm", "Lu, Cheng and Zhou, Yuhao and Bao, Fan and Chen, Jianfei and Li, Chongxuan and "
                        "Zhu, Jun", "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in "
                        "Around 10 Steps", 2022),
    "2209.03003": Paper("liu2022flow", "Liu, Xingchao and Gong, Chengyue and Liu, Qiang",
                        "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow", 2022),
    "2210.02747": Paper("lipman2022flow", "Lipman, Yaron and Chen, Ricky T. Q. and Ben-Hamu, Heli and Nickel, "
                        "Maximilian and Le, Matt", "Flow Matching for Generative Modeling", 2022),
    "2211.01095": Paper("lu2022dpmpp", "Lu, Cheng and Zhou, Yuhao and Bao, Fan and Chen, Jianfei and Li, Chongxuan and "
                        "Zhu, Jun",
                        "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models", 2022),
    "2302.04867": Paper("zhao2023unipc", "Zhao, Wenliang and Bai, Lujia and Rao, Yongming and Zhou, Jie and Lu, Jiwen",
                        "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models", 2023),
    "2307.01952": Paper("podell2023sdxl", "Podell, Dustin and English, Zion and Lacey, Kyle and Blattmann, Andreas and "
                        "Dockhorn, Tim and M{\\\"u}ller, Jonas and Penna, Joe and Rombach, Robin",
                        "SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis", 2023),
    "2403.03206": Paper("esser2024sd3", "Esser, Patrick and Kulal, Sumith and Blattmann, Andreas and Entezari, "
                        "Rahim and M{\\\"u}ller, Jonas and Saini, Harry and Levi, Yam and Lorenz, Dominik and Sauer, "
                        "Axel and Boesel, Frederic and Podell, Dustin and Dockhorn, Tim and English, Zion and Rombach, "
                        "Robin", "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis", 2024),
    "10.1017/S0962492910000048": Paper("hochbruck2010exponential", "Hochbruck, Marlis and Ostermann, Alexander",
                                       "Exponential Integrators", 2010, "Acta Numerica 19, 209--286"),
}  # fmt: skip


def identifiers(references: Iterable[str]) -> tuple[str, ...]:
    """The arXiv numbers and DOIs that the texts name, each once, in order."""
    found: dict[str, None] = {}
    for text in references:
        dois = _DOI.findall(text)
        found.update(dict.fromkeys([*_ARXIV.findall(_DOI.sub(" ", text)), *dois]))
    return tuple(found)


def bibtex(references: Iterable[str]) -> str:
    """BibTeX entries of everything that the texts name, in order, with a blank line between them."""
    return "\n\n".join(_entry(identifier) for identifier in identifiers(references))


def _entry(identifier: str) -> str:
    paper = PAPERS.get(identifier)
    preprint = not identifier.startswith("10.")
    fields: dict[str, str] = {}
    if paper is not None:
        fields |= {"author": paper.authors, "title": "{" + paper.title + "}", "year": str(paper.year)}
        if paper.where:
            fields["journal"] = paper.where
    if preprint:
        fields |= {"eprint": identifier, "archivePrefix": "arXiv", "url": f"https://arxiv.org/abs/{identifier}"}
    else:
        fields |= {"doi": identifier, "url": f"https://doi.org/{identifier}"}
    key = paper.key if paper is not None else re.sub(r"[^0-9A-Za-z]", "_", identifier)
    kind = "article" if paper is not None and paper.where else "misc"
    lines = [f"@{kind}{{{key},", *(f"  {name} = {{{value}}}," for name, value in fields.items()), "}"]
    return "\n".join(lines)
