"""Raw images → a validated, split, versioned `Manifest`."""
