"""The script that Streamlit runs. It has a folder of its own: Streamlit takes a `pages/` beside it for pages of its own kind."""
