"""The page Live: a camera's frames in, what is being done out, as it happens."""
