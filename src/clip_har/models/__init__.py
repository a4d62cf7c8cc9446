"""Pixels and words → scores: preprocessing, dual encoder, prompts, class head, bundle."""
