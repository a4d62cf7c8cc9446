"""gRPC: the Open Inference Protocol and our own typed service, over the engine that REST uses too."""
