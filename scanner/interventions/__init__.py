"""Switching things off inside a model, and the gate that every trigger candidate must pass."""
