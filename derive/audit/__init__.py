"""The auditor: what holds of solvers that this project did not write, seen as black boxes or as tables of numbers.

A target is adapted (``schedulers``, ``samplers``, ``stepping``, ``table_file``), probed, and judged against what it says
of itself; what comes out is one :class:`derive.audit.finding.Audit` for the screen, for JSON and for a page.
"""
