"""Domain values to rows and back; one module a noun, one transaction a function; start at ``transactions``."""
