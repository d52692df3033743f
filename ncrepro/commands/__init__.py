"""What ``make`` calls."""

import sys

VERSION = sys.modules["ncrepro"].__version__  # the package is above every room, and loaded before any
