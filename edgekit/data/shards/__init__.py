"""Photos in WebDataset shards."""
