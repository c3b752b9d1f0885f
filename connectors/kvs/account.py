"""Who we are to AWS: region, address, credentials and signature, all as botocore finds and makes them.

botocore's own chain is used (variables, files, profiles, roles, metadata of the machine). It blocks, so everything
that may read a file or ask a server runs in a thread. No secret leaves this module but in a signature.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from pipeline.errors import InputError, PeerUnavailable

_SERVICE: Final = "kinesisvideo"  # the name in a signature; the media and archive services share it
Credentials = Any  # botocore has no types
_ANY_REGION: Final = "us-east-1"  # of signatures for an endpoint that is given without a region


class Account:
    """Signs requests."""

    def __init__(self, region: str, endpoint_url: str, load: Callable[[], Credentials]) -> None:
        """Load the credentials; blocks.

        Args:
            region: of the signatures.
            endpoint_url: where GetDataEndpoint is asked.
            load: finds botocore's credentials; it is asked again when they are refused.

        Raises:
            InputError: `load` finds none.
        """
        self.endpoint_url = endpoint_url
        self._region = region
        self._load = load
        self._credentials = load()

    async def signed(self, url: str, body: bytes) -> dict[str, str]:
        """Return the headers of a POST.

        Raises:
            PeerUnavailable: the credentials have expired and cannot be refreshed.
        """
        try:
            # A refresh asks a server; botocore makes it by itself before the credentials expire.
            frozen = await asyncio.to_thread(self._credentials.get_frozen_credentials)
        except BotoCoreError as error:
            raise PeerUnavailable(f"AWS credentials cannot be refreshed: {type(error).__name__}") from None
        request = AWSRequest("POST", url, headers={"Content-Type": "application/json"}, data=body)
        SigV4Auth(frozen, _SERVICE, self._region).add_auth(request)
        return dict(request.headers.items())

    async def renew(self) -> None:
        """Load the credentials afresh; what is found again may be the same.

        Raises:
            PeerUnavailable: there are none any more.
        """
        try:
            self._credentials = await asyncio.to_thread(self._load)
        except InputError as error:
            raise PeerUnavailable(str(error)) from None


def find(region: str | None, endpoint_url: str | None) -> Account:
    """Find region, endpoint and credentials; blocks.

    Args:
        region: None takes botocore's; with an endpoint it may be missing.
        endpoint_url: where GetDataEndpoint is asked; None takes the region's.

    Raises:
        InputError: there are no credentials, or no region.
    """
    session = Session()
    try:
        named = region or session.get_config_variable("region") or (_ANY_REGION if endpoint_url else None)
        if named is None:
            raise InputError("no AWS region: give --region, or set AWS_REGION or a profile with one")
        # A client knows the region's endpoint, and the settings of AWS that replace it.
        url = endpoint_url or session.create_client(_SERVICE, region_name=named).meta.endpoint_url
    except BotoCoreError as error:
        raise InputError(f"AWS configuration: {type(error).__name__}") from None
    return Account(named, url.rstrip("/"), load)


def load() -> Credentials:
    """Find credentials as AWS's own tools do; blocks.

    Raises:
        InputError: there are none.
    """
    try:
        found = Session().get_credentials()
    except BotoCoreError as error:
        raise InputError(f"no AWS credentials: {type(error).__name__}") from None
    if found is None:
        raise InputError("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role")
    return found
