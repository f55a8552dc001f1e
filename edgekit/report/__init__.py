"""The report: its data (``report.json``), its page (``report.html``) and what it means in words."""

from __future__ import annotations

from edgekit.report.diagnosis import diagnose, verdict
from edgekit.report.document import SCHEMA_VERSION, Document, Latency, Row, make_row, write_json
from edgekit.report.html import Miss, WorstPhoto, write_html
from edgekit.system.host import describe_host, int8_dot_product
from edgekit.tasks.classification.evaluation import Evaluation, evaluate_answers, worst_photos

__all__ = [
    "SCHEMA_VERSION",
    "Document",
    "Evaluation",
    "Latency",
    "Miss",
    "Row",
    "WorstPhoto",
    "describe_host",
    "diagnose",
    "evaluate_answers",
    "int8_dot_product",
    "make_row",
    "verdict",
    "worst_photos",
    "write_html",
    "write_json",
]
