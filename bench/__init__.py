"""What the metrics cost: ``python -m bench`` measures it, ``bench.plain`` is what it compares with."""

import ncrepro as _  # noqa: F401, which settles how NumPy computes before any module here loads it
