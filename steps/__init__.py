"""ZenML steps by stage: one step, one file, one verb. The work is in the library."""
