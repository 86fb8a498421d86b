"""The resources of DaoCloud Enterprise 5."""
