"""The paper's tables and figures from any checkpoint: one package for each kind of truth, and one for figures."""
