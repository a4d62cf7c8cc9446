"""ZenML flavors of our own, named in the stacks' files by their `source`."""
