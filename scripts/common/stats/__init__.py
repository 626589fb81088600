"""Intervals, significance and paired comparison."""
