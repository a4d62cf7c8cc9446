"""Many pictures at once: where they come from, what becomes of them, and how that is looked at and taken along."""
