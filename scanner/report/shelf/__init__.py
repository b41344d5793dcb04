"""What a shelf of checkpoints is shown as: a table for every format, the single results behind it."""
