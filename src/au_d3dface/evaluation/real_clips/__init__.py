"""A checkpoint on real video without labels: agreement with another tool, and what the frame rate changes."""
