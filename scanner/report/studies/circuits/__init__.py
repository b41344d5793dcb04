"""Circuits, attribution graphs and audits as tables, pictures and pages."""
