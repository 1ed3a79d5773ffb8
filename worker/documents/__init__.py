"""Reference documents: read from files, put into collections, searched; start at ``importing`` and ``retriever``."""
