"""The resources of the Open API."""
