"""Configurations of other libraries as specs: a diffusers ``scheduler_config.json`` becomes the spec of the same sampler.

What a configuration asks for and no spec says is an error that names the key, never left out in silence.
"""
