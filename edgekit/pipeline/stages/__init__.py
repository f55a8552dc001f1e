"""The stages of a build: what each reads, does and writes."""
