"""Targets that throw where nobody expects it: constructors, attributes, steps, tables, and exceptions without words."""

from __future__ import annotations

import torch

from tests.audit import foreign, foreign_torch


class Gone(BaseException):
    """No Exception."""


class Mute(Exception):
    """Throws when it is asked what it is."""

    def __str__(self):
        raise RuntimeError("no words")


THROWN = {
    "key": lambda: KeyError("solver_order"),
    "assertion": AssertionError,
    "memory": lambda: MemoryError("no room"),
    "recursion": lambda: RecursionError("too deep"),
    "stop": StopIteration,
    "exit": lambda: SystemExit("bye"),
    "file": lambda: FileNotFoundError(2, "No such file or directory", "weights.pt"),
    "module": lambda: ModuleNotFoundError("No module named 'scipy'", name="scipy"),
    "gone": lambda: Gone("away"),
    "mute": Mute,
    "lines": lambda: ValueError("two\nlines"),
    "closed": GeneratorExit,
}


class Base:
    """A scheduler of order 1 in the variance exploding form. where: the place that throws; what: by THROWN."""

    def __init__(self, where="nowhere", what="key"):
        self.where, self.what = where, what
        self._at("constructor")
        self.sigmas = torch.linspace(1, 0, 11)

    def _at(self, where):
        if self.where == where:
            raise THROWN[self.what]()

    @property
    def config(self):
        self._at("config")
        return {"prediction_type": "epsilon", "solver_order": 1}

    def set_timesteps(self, count):
        self._at("set_timesteps")
        self.timesteps = torch.arange(count, 0, -1.0)
        self.sigmas = torch.linspace(1, 0, count + 1)
        self.place = 0

    def set_begin_index(self, place):
        self._at("begin")
        self.place = place

    def _sigma_to_alpha_sigma_t(self, sigma):
        self._at("alpha")
        return 1 + 0 * sigma, sigma

    def step(self, noise, t, x, return_dict=True):
        self._at("step")
        s, to = self.sigmas[self.place], self.sigmas[self.place + 1]
        self.place += 1
        return (x + (to - s) * noise,)


class Bare:
    """No config at all."""

    def __init__(self):
        self.sigmas = torch.linspace(1, 0, 11)

    def set_timesteps(self, count):
        pass


class Empty(Base):
    """A configuration that is no mapping."""

    config = 3


class Meta(type):
    def __getattr__(cls, name):
        raise Gone(name)


class Hidden(metaclass=Meta):
    """A class that throws for an attribute that it does not have."""


class Orderless:
    """A step that throws for its order."""

    @property
    def order(self):
        raise THROWN["gone"]()

    def __call__(self, f, t, x, h):
        return x + h * f(t, x)


class Nameless:
    """A sampler that throws for its name."""

    @property
    def __name__(self):
        raise THROWN["key"]()

    def __call__(self, model, x, sigmas, extra_args=None, callback=None, disable=None):
        return foreign.sample_heun(model, x, sigmas, extra_args, callback, disable)


orderless = Orderless()
sample_nameless = Nameless()


def sample_rude_2m(model, x, sigmas, extra_args=None, callback=None, disable=None, what="gone"):
    raise THROWN[what]()


COUNT = [0]


def sample_tired_2m(model, x, sigmas, extra_args=None, callback=None, disable=None, runs=3, what="gone"):
    """Runs so many times."""
    COUNT[0] += 1
    if COUNT[0] > runs:
        raise THROWN[what]()
    return foreign_torch.sample_heun_mean(model, x, sigmas, extra_args, callback, disable)


def sample_pair_2m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """A tuple for a state."""
    return foreign_torch.sample_heun_mean(model, x, sigmas, extra_args, callback, disable), None


def step_rude(f, t, x, h):
    raise THROWN["gone"]()


def step_mute(f, t, x, h):
    raise THROWN["mute"]()


def step_none(f, t, x, h):
    return None


def step_short(f, t, x, h):
    return (x + h * f(t, x))[:1]


def step_nan(f, t, x, h):
    return (x + h * f(t, x)) * float("nan")


def step_scalar(f, t, x, h):
    return 1.0


def step_words(f, t, x, h):
    return x + h * f(t, x)


step_words.order = "two"


def step_linear(f, t, x, h, L):
    raise THROWN["gone"]()


class Rows:
    """A table whose rows throw."""

    b = [1 / 2, 1 / 2]

    @property
    def A(self):
        raise THROWN["gone"]()


class Endless:
    """Says that it has a length."""

    def __len__(self):
        return 2

    def __iter__(self):
        raise THROWN["key"]()


class Half:
    A, b = Endless(), Endless()


ROWS = Rows()
HALF = Half()
FLAT = {"A": [0.5, 0.5], "b": [0.5, 0.5]}
UNREAL = {"A": torch.zeros(2, 2, device="meta"), "b": torch.tensor([0.5, 0.5])}


def __getattr__(name):
    if name == "lazy":
        raise RuntimeError("Failed to import tests.audit.lazy because of the following error:\nno GPU")
    raise AttributeError(name)
