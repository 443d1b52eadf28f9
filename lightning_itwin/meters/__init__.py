"""Meters: instruments that know no Trainer."""
