"""Models: sources, loading, devices, generation over a shared prefix, the reward model, the check of what was saved."""
