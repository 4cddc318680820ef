"""phiforge's solvers in ComfyUI: copy this folder to ``ComfyUI/custom_nodes`` (docs/adapters.md).

Each solver of ``generated`` is put into the list of samplers of the KSampler nodes as ``phiforge_<name>``; the node
"phiforge sampler" gives one to SamplerCustom.
"""

from .samplers import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, register

register()

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
