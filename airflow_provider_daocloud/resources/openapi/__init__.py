"""The nouns of the Open API."""
