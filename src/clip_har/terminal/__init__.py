"""What people type to ask a model: `clip-har predict`, `watch`, `feedback`. Answers come from a service, or from here."""
