"""Objects in a bucket of S3, encrypted by S3 under the tenant's key in KMS (SSE-KMS).

Owns the requests; names are those of `connectors/objects.py`, below the bucket's prefix. Where the bucket keeps
versions, a deletion takes all of them: what a late span covers must not stay behind.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from connectors.sealing import reason
from pipeline.errors import InputError, PeerUnavailable

S3 = Any  # botocore makes its clients at run time
_MISSING: Final = ("NoSuchKey", "404", "NotFound")


class Bucket:
    """A `Place` in S3. Threads share it, as they may share botocore's clients."""

    def __init__(self, client: S3, bucket: str, prefix: str, key_of: Callable[[str], str]) -> None:
        """Use a bucket, and look whether it keeps versions.

        Args:
            client: botocore's of S3.
            bucket: its name.
            prefix: before each name; empty, or ends with a slash.
            key_of: finds the ARN of a tenant's key, or raises PeerUnavailable.

        Raises:
            InputError: there is no such bucket, or it may not be asked.
        """
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._key_of = key_of
        try:
            said = client.get_bucket_versioning(Bucket=bucket)
        except (BotoCoreError, ClientError) as error:
            raise InputError(f"the bucket {bucket} cannot be used: {reason(error)}") from None
        self._has_versions = "Status" in said  # also after it was suspended

    def put(self, tenant: str, name: str, content: bytes) -> None:
        """See `Place`."""
        self._ask("put_object", Key=self._prefix + name, Body=content, **self._sealed(tenant))

    def get(self, tenant: str, name: str) -> bytes:
        """See `Place`."""
        answer = self._ask("get_object", Key=self._prefix + name)
        try:
            content: bytes = answer["Body"].read()
        except (BotoCoreError, OSError) as error:
            raise PeerUnavailable(f"S3 broke off: {type(error).__name__}") from None
        return content

    def names(self, prefix: str) -> list[str]:
        """See `Place`."""
        pages = self._pages("list_objects_v2", self._prefix + prefix)
        return sorted(one["Key"].removeprefix(self._prefix) for page in pages for one in page.get("Contents", ()))

    def move(self, tenant: str, source: str, target: str) -> None:
        """See `Place`; S3 copies without sending the bytes to us."""
        place = {"Bucket": self._bucket, "Key": self._prefix + source}
        self._ask("copy_object", Key=self._prefix + target, CopySource=place, **self._sealed(tenant))
        self.delete(source)

    def delete(self, name: str) -> None:
        """See `Place`."""
        key = self._prefix + name
        self._ask("delete_object", Key=key)
        if not self._has_versions:
            return
        for page in self._pages("list_object_versions", key):
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if one["Key"] == key:
                    self._ask("delete_object", Key=key, VersionId=one["VersionId"])

    def _sealed(self, tenant: str) -> dict[str, object]:
        key = self._key_of(tenant)
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key, "BucketKeyEnabled": True}

    def _ask(self, operation: str, **parameters: object) -> Any:  # noqa: ANN401 - botocore's answers have no types
        try:
            return getattr(self._client, operation)(Bucket=self._bucket, **parameters)
        except (BotoCoreError, ClientError) as error:
            if reason(error) in _MISSING:
                raise FileNotFoundError("there is no such object") from None
            raise PeerUnavailable(f"S3 refuses: {reason(error)}") from None

    def _pages(self, operation: str, prefix: str) -> Iterator[Any]:
        try:
            yield from self._client.get_paginator(operation).paginate(Bucket=self._bucket, Prefix=prefix)
        except (BotoCoreError, ClientError) as error:
            raise PeerUnavailable(f"S3 refuses: {reason(error)}") from None
