"""What monitoring found: from the service's report and, beside the workspace, from the history. Read as JSON, by its keys."""
