"""The files that hold a login: ``.creds`` with a JWT and a seed, or the seed of an nkey alone."""

from __future__ import annotations

import re
from pathlib import Path

import nkeys  # type: ignore[import-untyped]

_jwt_of = re.compile(r"-+BEGIN NATS USER JWT-+\s*([A-Za-z0-9_.=-]+)\s*-+END NATS USER JWT-+").search
_seed_of = re.compile(r"-+BEGIN USER NKEY SEED-+\s*([A-Z2-7]+)\s*-+END USER NKEY SEED-+").search


def read_credentials(path: Path) -> str:
    """The text of a ``.creds`` file, in exactly the form that nats-py reads: it never ends on another.

    Raises:
        OSError: it can't be read.
        ValueError: it is no such file; the message says nothing of what is in it.
    """
    text = path.read_text(encoding="ascii", errors="replace")
    jwt, seed = _jwt_of(text), _seed_of(text)
    if jwt is None or seed is None:
        raise ValueError(f"{path} holds no user JWT with its seed, as `nsc generate creds` writes them")
    _check_seed(seed[1], path)
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt[1]}\n------END NATS USER JWT------\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed[1]}\n------END USER NKEY SEED------\n"
    )


def read_seed(path: Path) -> str:
    """The seed of an nkey.  Raises as :func:`read_credentials`."""
    seed = path.read_text(encoding="ascii", errors="replace").strip()
    _check_seed(seed, path)
    return seed


def _check_seed(seed: str, path: Path) -> None:
    try:
        nkeys.from_seed(bytearray(seed, "ascii")).wipe()
    except Exception:  # noqa: BLE001 - nkeys raises what base64 and its own checks raise
        # Not "from": a traceback could show the seed.
        raise ValueError(f"{path} holds no valid seed of an nkey (it begins with SU)") from None
