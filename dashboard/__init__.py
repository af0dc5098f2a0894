"""The page of the figures: figures in, one HTML document out; no clock, no file, no database.

Charts are inline SVG that the style sheet colours: no script, no font and no image is fetched,
so that a strict content security policy holds and the page prints as it looks.
"""
