"""What predict writes: the cleaned strain, the veto list, the report."""
