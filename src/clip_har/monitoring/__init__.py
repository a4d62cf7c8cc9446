"""Whether what a model sees is still what it was made for: reference profile, drift checks, estimated accuracy, decision."""
