"""Table 1: meshes against true surfaces, in millimetres."""
