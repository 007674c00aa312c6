"""The paper's figures, and two of labels: strips, error maps, timelines, reliability."""
