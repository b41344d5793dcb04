"""One suspicion per file; each detector gives evidence and candidates to the one verification gate."""
