"""Evaluation: metrics with intervals, calibration, comparison of methods, plots and the report."""
