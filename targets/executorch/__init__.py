"""ExecuTorch, torch's runtime on phones and small boards: .pte files through XNNPACK."""
