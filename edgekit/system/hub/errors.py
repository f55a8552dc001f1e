"""What the errors of huggingface_hub mean, and what to do about each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgekit.errors import EdgekitError, UsageError
from edgekit.system.http import host_of


@contextmanager
def explained(endpoint: str, name: str, revision: str | None) -> Iterator[None]:
    """Says plainly what the library's errors mean.

    Args:
        endpoint: the address of the server.
        name: of the repository that it is asked for.
        revision: likewise; None for the newest.

    Raises:
        UsageError: there is no such repository or revision.
        EdgekitError: it is not given, or cannot be received.
    """
    try:
        yield
    except EdgekitError:
        raise
    except Exception as error:  # of three libraries: its own, its client's, the system's
        kinds = {kind.__name__ for kind in type(error).__mro__}
        known = next((make for kind, make in _MEANINGS.items() if kind in kinds), None)
        if known is None and isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk
        other = _unreachable if kinds & {"HTTPError", "OSError"} else _not_understood
        host = host_of(endpoint)
        raise (known or other)(host, name, revision or "main", _reason(error)) from error


def _gated(host: str, name: str, revision: str, reason: str) -> EdgekitError:
    return EdgekitError(
        f"the repository {name} asks for its terms to be accepted",
        cause=f"{host} gives it to those alone who have, and have logged in",
        hint=f"accept them at https://{host}/{name}, and put a token into the environment variable "
        "HF_TOKEN",
    )


def _unknown(host: str, name: str, revision: str, reason: str) -> EdgekitError:
    return UsageError(
        f"no repository {name} on {host}",
        cause="there is none, or it is private and HF_TOKEN holds no token that may read it",
        hint="`edgekit weights list VARIANT` names those of timm",
    )


def _no_revision(host: str, name: str, revision: str, reason: str) -> EdgekitError:
    return UsageError(
        f"the repository {name} has no revision {revision}",
        cause=f"{host} knows no such branch, tag or commit",
        hint=f"hf://{name}@COMMIT, or without one for the newest",
    )


def _not_a_name(host: str, name: str, revision: str, reason: str) -> EdgekitError:
    return UsageError(f"{name} is no name of a repository", cause=reason)


def _refused(host: str, name: str, revision: str, reason: str) -> EdgekitError:
    return EdgekitError(f"{host} refuses {name}", cause=reason)


def _unreachable(host: str, name: str, revision: str, reason: str) -> EdgekitError:
    return EdgekitError(
        f"cannot receive {name} from {host}",
        cause=reason,
        hint="a mirror in HF_ENDPOINT or `edgekit build --mirror`; EDGEKIT_OFFLINE=1 uses what is "
        "in the cache",
    )


def _not_understood(host: str, name: str, revision: str, reason: str) -> EdgekitError:
    return EdgekitError(
        f"what {host} says of {name} is not understood",
        cause=reason,
        hint="a server that speaks the hub's protocol, or a newer huggingface_hub",
    )


#: The library's errors by their names, the narrower ones first.
_MEANINGS: dict[str, Callable[[str, str, str, str], EdgekitError]] = {
    "GatedRepoError": _gated,
    "RepositoryNotFoundError": _unknown,
    "RevisionNotFoundError": _no_revision,
    "HFValidationError": _not_a_name,
    "HfHubHTTPError": _refused,
    "LocalEntryNotFoundError": _unreachable,
}


def _reason(error: BaseException) -> str:
    """What lies at the bottom of an error, in one line."""
    inner = error.__cause__
    # The library puts one around what its threads raise.
    if inner is not None and type(error).__name__ in ("LocalEntryNotFoundError", "RuntimeError"):
        return _reason(inner)
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
