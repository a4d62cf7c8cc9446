"""Hyper-parameter search over the settings of a candidate: a pruned, resumable Optuna study (not imported until it runs)."""

from clip_har.adaptation.search.config import FieldConfig, SearchConfig, check_search, read_searches, with_settings

__all__ = ["FieldConfig", "SearchConfig", "check_search", "read_searches", "with_settings"]
