"""The API of DaoCloud Enterprise 5: models and requests, by product."""
