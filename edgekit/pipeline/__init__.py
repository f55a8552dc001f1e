"""A build: named stages, each reused where what it reads has not changed."""
