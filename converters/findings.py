"""What checks find in a model file."""

from __future__ import annotations

from dataclasses import dataclass

ERROR = "error"


WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """Something in a file that a target, or the scheme, does not allow.

    Attributes:
        severity: "error" (the file is wrong or will be refused) or "warning".
        rule: the rule's short name.
        where: the operator ("12 CONV_2D") or tensor ("tensor 'x'").
        message: what is wrong there.
        fix: what to do about it.
    """

    severity: str
    rule: str
    where: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.message} ({self.fix})"
