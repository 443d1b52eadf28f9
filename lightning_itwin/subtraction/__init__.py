"""Noise subtraction: from witness channels to a cleaned strain, its safety and its report. No Trainer."""
