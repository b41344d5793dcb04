"""Tells whether an open-weight language model hides a behaviour that only some trigger wakes."""
