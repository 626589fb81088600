"""What a run needs before it runs: memory, time, hardware, and whether machine and downloads are there."""
