"""Every rule that a finding can name: its meaning, its severity, its tags, its page."""
