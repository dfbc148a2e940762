"""Tables: rows of typed columns, from memory and from files."""
