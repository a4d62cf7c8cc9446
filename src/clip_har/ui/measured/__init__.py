"""What is known of a model's quality: from the service's reports and, beside the workspace, from its runs."""
