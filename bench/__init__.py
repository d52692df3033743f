"""What the metrics cost: ``python -m bench`` measures it, ``bench.plain`` is what it compares with."""
