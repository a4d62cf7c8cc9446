"""What can be seen of the running service: metrics, logs, traces."""
