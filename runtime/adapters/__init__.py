"""Our solvers in the places where other libraries expect theirs: schedulers of diffusers, samplers of k-diffusion."""
