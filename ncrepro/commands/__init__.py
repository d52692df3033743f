"""What ``make`` calls."""
