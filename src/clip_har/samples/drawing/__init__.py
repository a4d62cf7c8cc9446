"""Drawing scenes with Pillow: solids, bodies, things and places, then what a camera does to them."""
