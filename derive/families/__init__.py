"""Method families: parameters -> Tableau. One file each; the folder is the registry.

``families/<name>.py`` exports ``PARAMETERS``, ``REFERENCE`` and ``build``; the first line of its docstring is what ``list`` prints.
"""
