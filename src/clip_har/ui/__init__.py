"""The web app: people look, ask and correct in a browser. `python -m clip_har.ui` starts it (docs/app.md).

It asks the service through `clip_har.client` alone; what lies beside it in a workspace is read from the disk.
"""
