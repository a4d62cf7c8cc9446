"""ZenML stacks: one YAML file each, registered on first use, swapped by name."""
