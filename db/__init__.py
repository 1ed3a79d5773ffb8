"""Tables, sessions and queries; start at ``models``."""
