"""Numerical evidence, independent of the proofs: problems with known solutions, reference solutions, measured orders."""
