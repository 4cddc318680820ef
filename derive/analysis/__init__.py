"""Proofs: order, global order, error constants, cost. Each analysis reads a tableau and says what holds."""
