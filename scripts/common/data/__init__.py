"""Rows, instructions, splits and their examples, evaluation tasks and their questions, prompts, downloads."""
