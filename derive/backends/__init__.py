"""Programs and coefficients as text: one file per backend, and the only printer of SymPy expressions.

The folder is the registry: ``backends/<name>.py`` exports ``FILE`` (what it writes), ``TEMPLATE`` and
``context(program)``; :mod:`derive.backends.printer` and the modules with a leading underscore serve all of them.
"""
