"""How often a training saves its state where the configuration leaves that to it. Loaded while the DAG is planned."""

AUTO = "auto"
# Seconds before the first checkpoint, whose cost is not known yet.
FIRST_SECONDS = 1800.0
# Of the time, what writing checkpoints may take: a kill then costs some 30 times what a checkpoint costs.
MOST_SHARE = 0.03


def seconds_between(writing: float) -> float:
    """Seconds between two checkpoints of which one takes `writing` seconds."""
    return writing / MOST_SHARE
