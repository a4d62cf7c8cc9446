"""A bundle put to use: runtimes behind one protocol, and the Predictor that everything else calls."""
