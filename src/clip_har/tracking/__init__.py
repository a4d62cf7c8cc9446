"""Experiment tracking behind one interface. A tracker that fails is reported and dropped; it never stops a run."""
