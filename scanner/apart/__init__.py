"""Work on a stranger's files in a confined process of its own: what they do there, they do not do to the caller."""
