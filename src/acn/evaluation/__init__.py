"""Figures of a trained model on a split: costs, unconditional priors, probes, tables and plots."""
