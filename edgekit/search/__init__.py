"""What fits a chip: variants, resolutions and widths, by the target's own compiler or runtime."""
