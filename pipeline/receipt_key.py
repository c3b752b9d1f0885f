"""Where the key of receipts comes from: the setting, else a file of this machine that the first process makes."""

import os
import secrets
from pathlib import Path
from typing import Final

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
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{os.getpid()}")
        part.touch(mode=0o600)
        part.write_text(secrets.token_hex(KEY_BYTES))
        try:
            os.link(part, file)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return file.read_text().strip()
