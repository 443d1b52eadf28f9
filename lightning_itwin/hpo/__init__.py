"""Hyperparameter optimisation: many trainings, each over several workers, planned by what others showed."""
