"""Plots and tables about a solver: one file each; ``page`` puts them together as one self-contained HTML file."""
