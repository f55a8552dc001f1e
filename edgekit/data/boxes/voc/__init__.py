"""Pascal VOC: an XML file for each photo."""
