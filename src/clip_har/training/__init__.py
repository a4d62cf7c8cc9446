"""Training: the loop, its schedule, and what it reads."""
