"""The data that lie beside the app: what they are, what was rejected, which labels may be wrong."""
