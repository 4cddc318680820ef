"""Mathematics that has not heard of diffusion: alphabet, exact fields, phi functions, moments, jets, evaluation."""
