"""The symbolic side: from a spec to a proved, generated solver. Never imported at run time."""
