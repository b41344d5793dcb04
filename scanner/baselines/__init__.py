"""Detectors of the literature, written from their papers, to stand beside ours in the benchmark."""
