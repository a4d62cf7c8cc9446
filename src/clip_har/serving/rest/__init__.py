"""The service over HTTP: our own REST interface and the Open Inference Protocol, on FastAPI."""
