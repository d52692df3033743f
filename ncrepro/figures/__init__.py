"""Tables in, figures out: one module per notebook, and in one function each figure, what is claimed of it, and what is
found.
"""
