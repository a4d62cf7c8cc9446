"""Validation: what a source lists → the samples that can be trusted, and a reason for each of the others.

`validate` looks at every file and at the listing; `deduplicate` compares pictures that were accepted.
"""

from __future__ import annotations

from clip_har.data.validation.config import REASONS, ValidationConfig
from clip_har.data.validation.deduplicating import deduplicate
from clip_har.data.validation.inspection import INSPECTION_COLUMNS, Inspection
from clip_har.data.validation.report import PAIR_COLUMNS, REJECTION_COLUMNS, WARNING_COLUMNS, ValidationReport
from clip_har.data.validation.validating import validate

__all__ = [
    "INSPECTION_COLUMNS",
    "PAIR_COLUMNS",
    "REASONS",
    "REJECTION_COLUMNS",
    "WARNING_COLUMNS",
    "Inspection",
    "ValidationConfig",
    "ValidationReport",
    "deduplicate",
    "validate",
]
