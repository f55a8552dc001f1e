"""A model hub: its files, through huggingface_hub, and what its errors mean."""
