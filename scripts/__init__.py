"""Command-line programs: flags -> one call -> a table and a picture."""
