"""A reader's models on a reader's data: a table that explains itself."""
