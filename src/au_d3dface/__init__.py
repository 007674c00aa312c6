"""au-d3dface: from ordinary video of a face to a moving 3D face explained by facial action units."""

__version__ = "0.1.0"
