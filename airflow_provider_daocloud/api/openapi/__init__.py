"""The resources of the Open API v1, and the requests on them."""
