"""Where the key of receipts comes from: the setting, else a file of this machine that the first process makes."""

import secrets
from pathlib import Path
from typing import Final

from pipeline.durable import write_once
from pipeline.errors import InputError
from pipeline.receipts import KEY_BYTES
from pipeline.settings import Settings

FILE: Final = Path(".trunkline/receipt.key")


def of(settings: Settings) -> bytes:
    """Return the key.

    Raises:
        InputError: it is no key, or its file cannot be made or read.
    """
    given = settings.receipt_key.get_secret_value()
    try:
        return _parsed(given or _kept(FILE))
    except ValueError:
        place = "setting receipt_key" if given else str(FILE)
        raise InputError(f"{place} is no key: it needs {2 * KEY_BYTES} hexadecimal digits") from None
    except OSError as error:
        raise InputError(f"{FILE}: {error.strerror}; or set receipt_key") from None


def _parsed(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != KEY_BYTES:
        raise ValueError
    return key


def _kept(file: Path) -> str:
    """Read the file, or make it; of several processes that make it at once, the first one's counts."""
    if not file.exists():
        write_once(file, secrets.token_hex(KEY_BYTES).encode(), mode=0o600)
    return file.read_text().strip()
