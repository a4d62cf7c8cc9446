"""The page Video: a clip in, its actions over time out."""
