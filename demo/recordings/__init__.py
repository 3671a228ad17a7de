"""`make recordings`: terminals at work on a real queue, as SVG images for the docs.

A scenario types commands into real shells. Their screens become the frames of a
recording, and the recording becomes an SVG that plays in a page without scripts.
"""
