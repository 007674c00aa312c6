"""A checkpoint on held-out synthetic people, whose action units and meshes are known."""
