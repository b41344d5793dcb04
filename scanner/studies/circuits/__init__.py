"""Circuits, attribution graphs and audits of inner states as data, a module a study."""

from .audit import AuditStudy, Consistency, Discrepancy, RankedPrompt, ReasoningInspection
from .circuit import Agreement, CircuitStudy, Component, Cost, Faithfulness
from .graph import AttributionGraph, GraphCheck, GraphEdge, GraphNode

__all__ = [
    "Agreement",
    "AttributionGraph",
    "AuditStudy",
    "CircuitStudy",
    "Component",
    "Consistency",
    "Cost",
    "Discrepancy",
    "Faithfulness",
    "GraphCheck",
    "GraphEdge",
    "GraphNode",
    "RankedPrompt",
    "ReasoningInspection",
]
