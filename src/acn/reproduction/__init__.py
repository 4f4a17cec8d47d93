"""The paper's tables and figures, and the ablations that it left out: which trainings they need, and what they show."""
