"""Models: sources, loading, devices, generation over a shared prefix or plainly, the reward model, the checks."""
