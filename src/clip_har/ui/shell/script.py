"""What Streamlit runs at every change of a page."""

from clip_har.ui.app import main

main()
