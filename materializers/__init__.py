"""ZenML materializers, one for each typed artifact: metadata, content hash and, where a person would look, a picture.

Nothing is imported here: a step's cache key covers the modules that it imports, and each step needs one or two of these.
"""
