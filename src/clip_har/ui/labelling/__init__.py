"""The labelling sheet in the app: what was captured, a picture at a time or many beside each other."""
