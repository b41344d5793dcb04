"""Findings in, text out. Every string that came from a model or a checkpoint is hostile."""
