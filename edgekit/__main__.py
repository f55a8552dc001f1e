"""``python -m edgekit``, which ``torchrun -m edgekit`` runs in each of its processes."""

from edgekit.cli import main

if __name__ == "__main__":
    main()
