"""What wraps data keys for a tenant: whoever may not use it opens nothing of that tenant."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key of 32 bytes, open and wrapped."""

    plain: bytes
    wrapped: bytes


class TenantKey(Protocol):
    """See the module."""

    @property
    def name(self) -> str:
        """Stands in each sealed field: up to 255 bytes."""

    def make(self, context: str) -> DataKey:
        """Make a data key; `context` says what for, such as `tenant|root` of one contact.

        Raises:
            PeerUnavailable: the key cannot be used now.
        """

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """Return a data key that was made with the same context.

        Raises:
            PeerUnavailable: the key cannot be used now.
            RecordRefused: this key has not wrapped it.
        """
