"""Numerical evidence, independent of the proofs: known solutions, reference solutions, measured orders."""
