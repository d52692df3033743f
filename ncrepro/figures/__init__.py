"""Tables in, figures out: a module per notebook, a function per figure with what is claimed of it and what is found.

Some modules also hold the function by which a notebook writes a table for their figures to read, such as
`multi_source.rankings_by_factor`.
"""
