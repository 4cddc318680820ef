"""One solver in several threads: everybody gets, bit for bit, what they get alone, whether plans and clocks are known or not."""

import importlib
import sys
import threading
import time

import pytest
import torch

from runtime import graph
from runtime.adapters import clock
from runtime.adapters.kdiffusion import sampler
from tests.adapters import tiny

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SOLVERS = ("dpmpp_2m", "unipc_3", "edm_heun", "res_3s", "dpm_4m_singlestep", "deis_tab3")


@pytest.fixture(autouse=True)
def often():
    """Threads take turns after ten microseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def forget():
    """As at the start of a process."""
    for known in (clock.timed, clock._planned):
        known.cache_clear()


def together(jobs):
    """What the jobs return, all begun at once in threads of their own."""
    start, out = threading.Barrier(len(jobs)), [None] * len(jobs)

    def run(i):
        start.wait()
        out[i] = jobs[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out


def unchanged(jobs, times=3):
    alone = [job() for job in jobs]
    assert not any(torch.equal(alone[0], other) for other in alone[1:])
    for i in range(times):
        if i % 2 == 0:
            forget()
        for j, (mine, other) in enumerate(zip(alone, together(jobs))):
            assert other is not None and torch.equal(mine, other), (i, j)


def denoiser(x, sigma):
    return torch.tanh(x / (1 + sigma.reshape(-1, 1, 1, 1)))


@pytest.mark.parametrize("name", SOLVERS)
def test_samplers(name):
    """Four solves of one solver: other levels, shapes and types."""
    solver = importlib.import_module(f"generated.{name}").solver

    def job(k):
        generator = torch.Generator().manual_seed(k)
        x = torch.randn(1 + k, 4, 8, 8, generator=generator, dtype=(torch.float32, torch.float64)[k % 2]) * 14
        levels = torch.tensor([14.0 * (0.03 / 14) ** (i / (9 + k)) for i in range(9 + k)] + [0.0], dtype=x.dtype)
        return lambda: sampler(solver)(denoiser, x, levels, disable=True).flatten().double()

    unchanged([job(k) for k in range(4)])


@pytest.mark.parametrize("backend", ["torch", "cpu"])
def test_one_plan_and_one_solver(backend):
    """``sample``, ``step`` and ``loop`` share a plan, whose copies on the device are made by whoever is first."""
    solver = importlib.import_module("generated.unipc_2").solver
    solver = solver if backend == "torch" else solver.fused()  # of which there is the torch step without a compiler
    nodes = [0.9, 0.7, 0.5, 0.2, 0.1, 0.01]
    plans = [solver.plan(nodes=nodes)]
    model = lambda x, t: torch.tanh(x + t.reshape(-1, 1))  # noqa: E731

    def job(k):
        x = torch.randn(2, 3, generator=torch.Generator().manual_seed(k), dtype=(torch.float64, torch.float32)[k % 2])

        def steps():
            state = solver.init(plans[0], x)
            for i in range(plans[0].steps):
                state = solver.step(plans[0], i, state, model(state.x, torch.tensor([plans[0].time(i)], dtype=x.dtype)))
            return state.x.clone()

        return {
            "sample": lambda: solver.sample(model, x, plan=plans[0]),
            "steps": steps,
            "loop": lambda: solver.loop(plans[0], x, backend="torch").solved(model),
        }[("sample", "steps", "loop")[k % 3]]

    jobs = [job(k) for k in range(6)]
    alone = [each() for each in jobs]
    for _ in range(5):
        plans[0] = solver.plan(nodes=nodes)
        for mine, other in zip(alone, together(jobs)):
            assert other is not None and torch.equal(mine, other)


def test_graphs_are_not_shared_while_they_run(monkeypatch):
    """One network, one solver, one key: a solve has its loop to itself. On the CPU, where the graph is the step itself."""
    solver = importlib.import_module("generated.unipc_3").solver
    monkeypatch.setattr(graph, "captured", lambda body, warm: body)

    class Network(torch.nn.Module):
        def forward(self, x, t):
            time.sleep(1e-4)  # the others' turn
            return torch.tanh(x + t.reshape(-1, 1))

    model, plan = Network(), solver.plan(steps=12)

    def job(k):
        x = torch.randn(2, 3, generator=torch.Generator().manual_seed(k))
        return lambda: graph.sampled(solver, plan, model, x, None)

    unchanged([job(k) for k in range(4)], times=6)
    assert len(graph._GRAPHS[model]) == 1


@pytest.mark.parametrize("name", ["flow_dopri5", "dpm_solver_23"])
def test_adaptive(name):
    solver = importlib.import_module(f"generated.{name}").solver

    def job(k):
        x = torch.randn(2, 3, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        model = lambda x, t: torch.tanh(x * (1 + k)) - t.reshape(-1, 1)  # noqa: E731
        return lambda: solver.adaptive(model, x, span=(0.9, 0.05), rtol=1e-3, atol=1e-3).x

    unchanged([job(k) for k in range(3)])


@pytest.mark.parametrize("kind", ["plain", "karras"])
def test_schedulers(kind):
    """Two of diffusers' pipelines, a scheduler each, one solver: with the same network and different steps."""
    diffusers = pytest.importorskip("diffusers")
    from runtime.adapters.diffusers import scheduler

    solver = importlib.import_module("generated.unipc_3").solver
    peer = diffusers.DPMSolverMultistepScheduler(**SD, use_karras_sigmas=kind == "karras")
    pipes = []
    for _ in range(2):
        pipe = tiny.unconditional(scheduler(solver, peer), "DDPMPipeline")
        pipe.scheduler = scheduler(solver, peer)
        pipes.append(pipe)

    def job(pipe, steps):
        return lambda: torch.as_tensor(
            pipe(num_inference_steps=steps, output_type="np", generator=tiny.seeded(steps)).images
        )

    unchanged([job(pipes[0], 4), job(pipes[1], 6)])


@pytest.mark.slow
@pytest.mark.parametrize("solvers", [("sd15_dpmpp_2m", "sd15_dpmpp_2m"), ("edm_heun", "unipc_3")])
def test_pipelines_with_a_prompt(solvers):
    """Stable Diffusion's pipeline in two threads, with guidance and half-way beginnings."""
    diffusers = pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from runtime.adapters.diffusers import scheduler

    peer = diffusers.DPMSolverMultistepScheduler(**SD)

    def job(name, steps, strength):
        kind = "StableDiffusionImg2ImgPipeline" if strength else "StableDiffusionPipeline"
        pipe = tiny.stable_diffusion(scheduler(name, peer), kind)
        call = {**tiny.prompts(), "num_inference_steps": steps}
        call |= {"image": tiny.embeds(1, 3, 16, 16).clamp(-1, 1), "strength": strength} if strength else {}
        call |= {} if strength else {"height": 16, "width": 16}
        return lambda: torch.as_tensor(pipe(**call, generator=tiny.seeded(steps)).images)

    unchanged([job(solvers[0], 5, None), job(solvers[1], 7, None), job(solvers[0], 6, 0.6)], times=4)
