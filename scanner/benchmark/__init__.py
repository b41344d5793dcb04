"""How sensitive detectors are: every organism as an anonymous checkpoint, every detector, every setting."""
