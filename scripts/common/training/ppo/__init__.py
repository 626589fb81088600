"""Proximal policy optimisation: losses, learners, rollouts and the loop."""
