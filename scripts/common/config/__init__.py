"""The configuration: loading and checking it, each job's part of it, the methods."""
