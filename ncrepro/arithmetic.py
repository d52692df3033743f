"""Stand-in until the module of that name is merged."""


def why_not_exact() -> str | None:
    """One sentence why numbers of this process need not be the reference's to the last byte; None if they are."""
    return None
