"""Tables in, figures out: a module per notebook, a function per figure with what is claimed of it and what is found."""
