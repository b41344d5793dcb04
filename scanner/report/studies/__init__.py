"""What the studies record, as text: circuits, safety mechanisms, monitors, hiding, misalignment."""
