"""OpenVINO: the writer, the reader of finished files, and NNCF."""
