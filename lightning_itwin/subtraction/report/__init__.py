"""The report of a subtraction: what was measured, figures, and a page that opens offline."""
