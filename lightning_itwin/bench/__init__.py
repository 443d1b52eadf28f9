"""Bench: one workload, many trainings, one scalability report."""
