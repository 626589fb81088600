"""Training: frame, engine, checkpoints, order of data, objectives."""
