"""The op table, one file a family. Importing a family registers its ops, functions and methods."""
