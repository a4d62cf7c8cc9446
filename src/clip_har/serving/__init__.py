"""The service: REST and gRPC over one engine, on BentoML."""
