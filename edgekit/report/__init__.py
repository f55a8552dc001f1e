"""The report: its data (``report.json``), its page (``report.html``) and what it means in words."""

from __future__ import annotations

from edgekit.report.diagnosis import diagnose, verdict
from edgekit.report.document import SCHEMA_VERSION, Document, Latency, Row, make_row, write_json
from edgekit.report.html import write_html
from edgekit.system.host import describe_host, int8_dot_product

__all__ = [
    "SCHEMA_VERSION",
    "Document",
    "Latency",
    "Row",
    "describe_host",
    "diagnose",
    "int8_dot_product",
    "make_row",
    "verdict",
    "write_html",
    "write_json",
]
