"""How often a training saves its state where the configuration leaves that to it. Loaded while the DAG is planned."""

AUTO = "auto"
# Seconds before the first checkpoint, whose cost is not known yet.
FIRST_SECONDS = 3600.0
# Of the time, what writing checkpoints may take: a kill then costs some 30 times what a checkpoint costs.
MOST_SHARE = 0.03

# Of the time between SIGTERM and SIGKILL, what a job has to save its state; then it is ended, stuck or not.
PART_OF_LEAD = 0.75


def seconds_between(writing: float) -> float:
    """Seconds between two checkpoints of which one takes `writing` seconds."""
    return writing / MOST_SHARE


def checkpoints_within(seconds: float, every: float, first: float) -> int:
    """How many a training of so many seconds writes."""
    return 0 if seconds < first else 1 + int((seconds - first) // every)
