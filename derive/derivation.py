"""derivation.md: the formula, where it comes from and why it has its order, in LaTeX that GitHub renders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp

from derive.analysis.claims import Claims
from derive.analysis.order import error_function, uniform_value
from derive.problems import SemilinearProblem
from derive.symbolic.alphabet import alpha, dalpha, drho, dsigma, lam, rho, sigma, t
from derive.tableau import Tableau

_NAMES = {
    alpha: r"\alpha",
    sigma: r"\sigma",
    rho: r"\rho",
    lam: r"\lambda",
    dalpha: r"\dot\alpha",
    dsigma: r"\dot\sigma",
    drho: r"\dot\rho",
    t: "t",
}


def _tex(expr: sp.Expr) -> str:
    names = dict(_NAMES)
    for symbol in expr.free_symbols:
        name = str(symbol)
        for head, tex in (("phi", r"\varphi"), ("mu", r"\mu"), ("r", "r"), ("kappa", r"\kappa")):
            if name.startswith(head) and name[len(head) :].isdigit():
                names[symbol] = f"{tex}_{{{name[len(head) :]}}}"
    return str(sp.latex(expr, symbol_names=names))


def _linear(a: sp.Expr, b: sp.Expr, first: str, second: str) -> str:
    """``a first + b second`` without ones and zeros."""
    return " + ".join(_times(value, name) for value, name in ((a, first), (b, second)) if value != 0)


def _times(value: sp.Expr, name: str) -> str:
    if value == 1:
        return name
    return rf"{_tex(value)}\,{name}" if value.is_Atom or value.is_Pow else rf"\left({_tex(value)}\right) {name}"


def derivation(
    name: str, problem: SemilinearProblem, tableau: Tableau, proof: Claims, references: Sequence[str]
) -> tuple[str, ...]:
    """The lines of derivation.md."""
    lines = [f"# {name}", ""]
    lines += _posed(problem)
    lines += _switching(problem, tableau)
    if proof.law:
        lines += _renoised(problem)
    else:
        lines += _derived(problem, tableau)
        lines += _ends(problem, tableau)
        lines += _proved(proof, tableau)
    if references:
        lines += ["## References", "", *(f"- {r}" for r in references), ""]
    return tuple(lines)


def _posed(problem: SemilinearProblem) -> list[str]:
    integrand = _linear(problem.integrand.c0, problem.integrand.c1, "x_0", r"\varepsilon")
    factor = _tex(problem.factor) if problem.factor is not None else r"\exp\int A\,dt"
    weight = r"\frac BG" if problem.factor is not None else "B"
    return [
        "## The problem",
        "",
        r"With $x = \alpha x_0 + \sigma\varepsilon$, $\lambda = \log(\alpha/\sigma)$ and $\rho = \sigma/\alpha$, the integrand is",
        "",
        rf"$$ F = {integrand}, \qquad \dot x = A x + B F, $$",
        "",
        rf"$$ A = {_tex(problem.drift)}, \qquad {weight} = {_tex(problem.weight)}. $$",
        "",
        *_noisy(problem),
        rf"The network's output $N$ becomes $F = {_linear(*problem.to_integrand, 'x', 'N')}$.",
        rf"The integrating factor $G = {factor}$ gives",
        "",
        r"$$ x(t) = \frac{G(t)}{G(s)}\,x(s) + G(t)\int_s^t \frac{B(u)}{G(u)}\,F(u)\,du. $$",
        "",
    ]


def _noisy(problem: SemilinearProblem) -> list[str]:
    """What an SDE adds: its noise, and the noise of one step."""
    noise = problem.noise
    if noise is None or noise.segment is not None:
        return []
    law = r"s^2 = \int_s^t \frac{G(t)^2}{G(u)^2}\,g(u)^2\,du"
    if noise.variance == "left":
        law = r"s^2 = g(s)^2\,(t - s)"
    elif noise.variance == "large":
        law = r"s^2 = 1 - \frac{\alpha_s^2}{\alpha_t^2}"
    elif noise.closed is not None:
        end, start, rate = noise.closed
        law = rf"s^2 = \left({_tex(end**2)}\right)_t \left({_tex(start**2)}\right)_s \bigl(1 - e^{{{_tex(-2 * rate)} h}}\bigr)"
    moving = (
        ""
        if noise.excess is None
        else " (in the limit of short steps: a step has a tau of its own, that of DDIM's eta)"
    )
    return [
        rf"This is the drift of the reverse SDE with $\tau^2 = {_tex(noise.share)}$ of the noise{moving}: the step below is its mean.",
        rf"With $g^2 = 2\tau^2\sigma^2\dot\lambda = {_tex(noise.density)}$ a step adds $N(0, s^2)$, $h$ the step of $\lambda$,",
        "",
        rf"$$ dx = (A x + B F)\,dt + g\,dW, \qquad {law}. $$",
        "",
    ]


def _renoised(problem: SemilinearProblem) -> list[str]:
    """The step of a consistency model and its law, in the place of rows and orders."""
    assert problem.noise is not None and problem.noise.segment is not None
    time, whole = problem.noise.segment
    place = rf"\left\lfloor {_tex(time)} \right\rfloor" if whole else _tex(time)
    return [
        "## The step",
        "",
        rf"A step from $s$ to $t$ goes to $u = {place}$ with the data $F$ that the network says at $s$ and the noise",
        r"$\varepsilon$ that it leaves of $x_s$, and from there by the forward process, with normals $z$, to $t$:",
        "",
        r"$$ x_t = \frac{\alpha_t}{\alpha_u}\bigl(\alpha_u F + \sigma_u\varepsilon\bigr)"
        r" + \sqrt{\sigma_t^2 - \frac{\alpha_t^2\sigma_u^2}{\alpha_u^2}}\;z. $$",
        "",
        r"With $e^{-k} = \rho_u/\rho_t$ and $h = \lambda_t - \lambda_s$ that is",
        "",
        r"$$ x_t = \frac{\sigma_t}{\sigma_s}e^{-k}\,x_s + \alpha_t\bigl(1 - e^{-(h+k)}\bigr)F"
        r" + \sigma_t\sqrt{1 - e^{-2k}}\;z; $$",
        "",
        r"where $\sigma_u = 0$, $x_t = \alpha_t F + \sigma_t z$.",
        "",
        "## Start and end",
        "",
        "- A step needs no history.",
        r"- Into $\sigma = 0$ it is $F$, without noise.",
        "",
        "## The proof",
        "",
        r"Write $a$, $b$ and $s$ for the weights of $x_s$, $F$ and $z$. Identically in all of $\alpha$ and $\sigma$",
        "",
        r"$$ a\alpha_s + b = \alpha_t, \qquad a^2\sigma_s^2 + s^2 = \sigma_t^2, \qquad"
        r" a x_s + b F = \frac{\alpha_t}{\alpha_u}\bigl(\alpha_u F + \sigma_u\varepsilon\bigr). $$",
        "",
        r"- Given $x_0$, and with $F = x_0$, the mean and the variance of $x_t$ are those of its time.",
        r"- If the law of $\alpha_u F + \sigma_u\varepsilon$ is that of $x_u$, the law of $x_t$ is its own, for steps of any length:",
        r"  with the flow map of the ODE from $s$ to $u$ as network every marginal is exact.",
        r"- There is no order: $k$ does not vanish with $h$. With a denoiser as network the error of a run does not fall as its",
        "  steps become more.",
        "",
    ]


def _switching(problem: SemilinearProblem, tableau: Tableau) -> list[str]:
    """The same in every further integrand of a table that has several."""
    if not tableau.others:
        return []
    lines = [
        rf"That is the integrand $F^{{\mathrm{{{tableau.names[0]}}}}}$. Other steps of the table take another quantity for a",
        r"polynomial; each has its own $A$, $B$ and $G$, and the values that a step reads were formed when the network was called:",
        "",
    ]
    for name, other in zip(tableau.names[1:], problem.others, strict=True):
        of = rf"^{{\mathrm{{{name}}}}}"
        quantity = _linear(other.integrand.c0, other.integrand.c1, "x_0", r"\varepsilon")
        factor = _tex(other.factor) if other.factor is not None else r"\exp\int A\,dt"
        weight = rf"\frac{{B{of}}}{{G{of}}}" if other.factor is not None else f"B{of}"
        lines += [
            rf"$$ F{of} = {quantity} = {_linear(*other.to_integrand, 'x', 'N')}, \qquad A{of} = {_tex(other.drift)}, \qquad "
            rf"{weight} = {_tex(other.weight)}, \qquad G{of} = {factor}. $$",
            "",
        ]
    return lines


def _derived(problem: SemilinearProblem, tableau: Tableau) -> list[str]:
    taken = "The variable of the steps is" if problem.ddim is not None else "$F$ is a polynomial in"
    return [
        "## The step",
        "",
        rf"{taken} $\chi = {_tex(problem.chart)}$. With $h = \chi_{{n+1}} - \chi_n$,",
        r"$\theta = (\chi - \chi_n)/h$ and the step ratios $r_j = h_{n-1-j}/h_n$, the nodes are $0, -r_0, -(r_0 + r_1), \ldots$",
        "",
        *_kernels(problem, tableau),
        "",
        *_rows(tableau),
    ]


def _kernels(problem: SemilinearProblem, tableau: Tableau) -> list[str]:
    """The kernel; of a table in several integrands that of each."""
    if problem.ddim is not None:
        return _kept(problem)
    if not tableau.others:
        return _kernel(problem, tableau.kernel.rate)
    lines = []
    for k, name in zip(tableau.integrands, tableau.names, strict=True):
        posed = problem.of(k)
        lines += ["", rf"For $F^{{\mathrm{{{name}}}}}$:", *_kernel(posed, posed.kernel.rate)]
    return lines[1:]


def _rows(tableau: Tableau) -> list[str]:
    """The rows of every scheme, and how to read them."""
    schemes = [*tableau.schemes, *([tableau.starter] if tableau.starter else [])]
    order = "in the order of their first use" if tableau.table else "by order"
    lines = [f"In Newton form, {order}:", "", tableau.latex(), ""]
    if any(row.given for scheme in schemes for row in scheme.rows):
        lines[0] = f"The rows, {order}:"
    if any(row.newton for scheme in schemes for row in scheme.rows if not row.given):
        lines += [
            r"The weights of the values $F_{n-j}$ are $w_j = \sum_{k\ge j} M_k / \prod_{i\le k,\,i\ne j}(\theta_j-\theta_i)$,",
            r"$M_k$ the factor of $F[\theta_0,\ldots,\theta_k]$.",
            "",
        ]
    if any(scheme.stages for scheme in schemes):
        lines += [
            r"$K_i$ is the integrand at the stage $X_i$, at abscissa $c_i$; a row that ends at $c$ has the $\Phi$ and $C$ of the",
            r"step from $0$ to $c$, its nodes in units of $c$ and $z$ times $c$.",
            "",
        ]
    return lines


def _kernel(problem: SemilinearProblem, rate: Any) -> list[str]:
    if rate is None or problem.prefactor is None:
        return [
            r"The kernel has no closed form in this variable: $C = G(t)$ and, by quadrature,",
            r"$\mu_k = \int_s^t \frac{B}{G}\,\theta^k\,du$.",
        ]
    q = sp.Rational(int(rate.numerator), int(rate.denominator))
    decay = "" if q == 0 else r"\,e^{z(1-\theta)}"
    return [
        rf"The kernel is closed: $C = \left({_tex(problem.prefactor)}\right) h$ at $t_{{n+1}}$, $z = {_tex(q * sp.Symbol('h'))}$ and",
        rf"$\mu_k = \int_0^1 \theta^k{decay}\,d\theta = k!\,\varphi_{{k+1}}(z)$.",
    ]


def _kept(problem: SemilinearProblem) -> list[str]:
    """Phi and C of steps that keep data and noise."""
    assert problem.ddim is not None
    data, noise = (_linear(*pair, "x_n", "F") for pair in problem.ddim)
    return [
        r"The rows combine values of $F$ with constant weights, and the sum is taken for $F$ at $t_n$. The step is that of DDIM: it",
        rf"keeps $x_0 = {data}$ and $\varepsilon = {noise}$, so with the angle $\psi$",
        r"from $(\alpha_n, \sigma_n)$ to $(\alpha_{n+1}, \sigma_{n+1})$,",
        "",
        r"$$ x_{n+1} = \alpha_{n+1} x_0 + \sigma_{n+1} \varepsilon = \Phi\,x_n + C F, $$",
        "",
        r"$$ \Phi = \alpha_n\alpha_{n+1} + \sigma_n\sigma_{n+1} = \cos\psi, $$",
        "",
        r"$$ C = \alpha_n\sigma_{n+1} - \sigma_n\alpha_{n+1} = \sin\psi. $$",
        "",
        r"The exact solution is $x_n + \int F\,d\psi$.",
    ]


STARTS = {
    "ramp": "rows of order 1, 2, .. until the history is full",
    "exact": "integrand values at earlier times are given",
    "singlestep": "a one-step method of sufficient order makes the history",
    "pseudo_rk4": "a pseudo Runge-Kutta method makes the history",
    "iterated": "a one-step method whose stages are corrected again and again makes the history",
}
FINALS = {
    "keep": "the last steps are like all others",
    "lower_order": "the last steps use the rows of order .., 2, 1",
    "denoise": "after the last step the network is evaluated once more and its $x_0$ is returned",
}


def _final(tableau: Tableau) -> str:
    if tableau.final == "lower_order" and tableau.steps == 1:
        return "the last step is of order 1"
    return FINALS[tableau.final]


def _ends(problem: SemilinearProblem, tableau: Tableau) -> list[str]:
    """What happens before the history is full, on the last steps, and where alpha or sigma is zero."""
    lines = [
        "## Start and end",
        "",
        f"- Start `{tableau.start}`: {STARTS[tableau.start] if tableau.steps > 1 else 'one step needs no history'}.",
        f"- Final `{tableau.final}`: {_final(tableau)}.",
    ]
    if tableau.table:
        given = ", from values at earlier times that are given" if tableau.start == "exact" else ""
        lines[2:] = [
            f"- The table says how each of its {len(tableau.table)} steps is taken{given}; no other number of steps."
        ]
    for k in tableau.integrands:
        of = rf"For $F^{{\mathrm{{{tableau.names[k]}}}}}$: " if tableau.others else ""
        lines += [f"- {of}{line[0].lower() if of else line[0]}{line[1:]}" for line in _touching(problem.of(k))]
    return [*lines, ""]


def _touching(problem: SemilinearProblem) -> list[str]:
    """What becomes of a step that touches an end where alpha or sigma is zero."""
    lines = []
    for end, name in {"sigma_zero": r"$\sigma = 0$", "alpha_zero": r"$\alpha = 0$"}.items():
        if end not in (problem.schedule.noise_end, problem.schedule.data_end):
            continue
        if problem.vanishes[end]:
            what = "$G$ vanishes, the kernel concentrates at the end of the step, and the row extrapolates $F$ to it"
            lines.append(
                f"Into {name} {what}" + ("." if problem.finite[end] else r": order 1, since $\chi$ is infinite there.")
            )
        elif problem.finite[end]:
            lines.append(rf"At {name} $\chi$ and the row are regular: no special case.")
        else:
            lines.append(rf"Into {name} $\chi$ is infinite and the row is its analytic limit.")
    return lines


def _proved(proof: Claims, tableau: Tableau) -> list[str]:
    main = proof.main
    lines = ["## The proof", ""]
    if tableau.transfer == "ddim":
        lines += _on_circle(proof)
    else:
        lines += _by_moments(proof, tableau) if main.row is not None else _by_trees(proof)
    orders = ", ".join(str(p.order) for p in proof.schemes)
    rules = f"with start `{proof.start}` and final `{proof.final}` (schemes of order {orders})"
    lines.append(f"- Global order **{proof.global_order}** {rules}.")
    if proof.noise is not None:
        weak, strong = proof.noise.weak, proof.noise.strong
        lines.append(
            f"- These are orders of the mean, without noise. With it, start and final step included: weak order **{weak}**, "
            f"strong order **{strong}**."
        )
    if proof.body:
        first, last = proof.body
        entries = ", ".join(str(k + 1) for k in tableau.table)
        lines += [
            f"- The grid steps take the schemes {entries}, counted in the order above.",
            r"  A table has no limit $h \to 0$ of its own: its orders are those of longer tables of the same shape, which repeat",
            f"  steps {first} to {last}; the order is that of the weakest of these, and a scheme of order $q$ that is used before or",
            "  after them costs $O(h^{q+1})$.",
        ]
    if tableau.others:
        own = rf"F^{{\mathrm{{{tableau.names[tableau.schemes[proof.principal].integrand]}}}}}"
        lines.append(
            f"- Each scheme has its order with the kernel of its own integrand; the $F$ and $P$ of the leading error are those of ${own}$."
        )
    if proof.starter is not None:
        lines.append(f"- The start has order {proof.starter.order}, by {proof.starter.engine}.")
    if main.predictor is not None:
        lines.append(
            f"- The prediction has order {main.predictor}; its error enters the corrected value with a factor $h$: with "
            rf"$J = P\,\partial F/\partial x$ the leading error on a uniform grid is `{main.leading}`, all terms together."
        )
    if main.embedded is not None:
        lines.append(f"- The embedded output has order {main.embedded}, and not {main.embedded + 1}.")
    return [
        *lines,
        "- Zero-stable on every grid: the only root of the first characteristic polynomial on the unit circle is 1.",
        "",
    ]


def _by_moments(proof: Claims, tableau: Tableau) -> list[str]:
    main = proof.main
    scheme = tableau.schemes[proof.principal]
    row = scheme.corrector or scheme.output
    assert main.row is not None
    constants = main.row.constants
    leading = " + ".join(rf"\left({_tex(c.as_expr())}\right) F^{{({k})}}" for k, c in constants)
    uniform = " + ".join(rf"{sp.latex(sp.Rational(str(uniform_value(c))))}\, F^{{({k})}}" for k, c in constants)
    count = len(row.nodes)
    function = rf"M_{{{count}}}"
    lines = [
        r"The weights reproduce $\widetilde m_k = \sum_j w_j\theta_j^k$, and",
        "",
        r"$$ \text{exact} - \text{numerical} = C\sum_k \frac{h^k}{k!}\,(\mu_k - \widetilde m_k)\,F^{(k)}, \qquad C = P\,h. $$",
        "",
        r"The residual of moment $k$ is $h\,(\widetilde m_k - \mu_k)$; order $p$ means that it is $O(h^{p+1-k})$ for all $k < p$.",
        "",
        f"- Order **{proof.order}** for all step ratios; not {proof.order + 1}, because {main.because}.",
    ]
    if main.stiff_order is not None:
        exact = f": moments 0 to {main.stiff_order - 1} are exact for every $z$" if main.predictor is None else ""
        lines.append(f"- Stiff order {main.stiff_order}{exact}.")
    return [
        *lines,
        rf"- Leading error in units of $P\,h^{{{proof.order + 1}}}$: ${leading}$;",
        f"  on a uniform grid ${uniform}$.",
        rf"- Error-constant function of the exact row: ${function}/{count}!$,",
        rf"  ${function} = {_tex(error_function(row).as_expr())}$.",
    ]


def _on_circle(proof: Claims) -> list[str]:
    main = proof.main
    return [
        r"With the angle for the variable, $dx = F\,d\psi$ for every path; one step is computed on power series for a random $F(x, \psi)$",
        r"and a random $\psi(\chi)$, and compared with the exact solution.",
        "",
        f"- Order **{proof.order}**, by {main.engine}; not {proof.order + 1}: {main.because}.",
        f"- Leading error `{main.leading}` $h^{{{proof.order + 1}}}$, $h = \\psi$ and primes by it, of norm ${main.constant[1]:.6g}$.",
    ]


def _by_trees(proof: Claims) -> list[str]:
    main = proof.main
    stiff, of = [], f" of a grid step, of which a block has {main.steps}" if main.steps > 1 else ""
    if main.stiff_order is not None:
        stiff = [f"- Stiff order {main.stiff_order}; {main.weak} with the weights at $z = 0$ (arXiv:1311.4600)."]
    return [
        r"A stage and the exact solution of $\dot x = L x + N(x, t)$ are series over bicoloured trees: a white vertex is $L$, a",
        r"black one $N$. The order conditions are $\phi(\tau) = 1/\gamma(\tau)$ for every tree $\tau$ up to that order.",
        "",
        f"- Order **{proof.order}**, by {main.engine}; not {proof.order + 1}: {main.because}.",
        *stiff,
        f"- Leading error{of} `{main.leading}` $h^{{{proof.order + 1}}}$, of norm ${main.constant[1]:.6g}$.",
    ]
