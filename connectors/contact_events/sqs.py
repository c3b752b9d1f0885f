"""An SQS queue: messages stay until Kafka has what they say.

A standard queue delivers at least once and in any order; a message that is not deleted comes again after the queue's
visibility timeout. EventBridge sends a contact event as the message's body.
"""

from collections.abc import Mapping
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from connectors.base import Arrived, Batch
from connectors.contact_events.feeds import AwsClient
from connectors.sealing import reason
from pipeline.errors import PeerUnavailable

BATCH_MESSAGES: Final = 10  # the most that one request receives or deletes (quotas of SQS)
WAIT_S: Final = 1  # of a request for a first message; also how late a stop is noticed


class SqsInlet:
    """One queue. Used by one thread."""

    def __init__(self, client: AwsClient, url: str) -> None:
        """Prepare.

        Args:
            client: botocore's of SQS.
            url: of the queue.
        """
        self._client = client
        self._url = url

    def resume(self, positions: Mapping[str, str]) -> None:
        """A queue remembers by itself what has been taken."""

    def pull(self) -> Batch:
        """Receive what has come, waiting `WAIT_S` for a first message.

        Raises:
            PeerUnavailable: the service does not answer, or throttles.
        """
        try:
            told = self._client.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=BATCH_MESSAGES, WaitTimeSeconds=WAIT_S
            )
        except (BotoCoreError, ClientError) as error:
            raise PeerUnavailable(f"SQS: {reason(error)}") from None
        messages = told.get("Messages", [])
        return Batch(
            tuple(Arrived(one["Body"].encode(errors="surrogatepass"), "", one["ReceiptHandle"]) for one in messages), {}
        )

    def settle(self, batch: Batch) -> None:
        """Delete what Kafka has; what cannot be deleted comes again, which changes nothing.

        Raises:
            PeerUnavailable: the service does not answer.
        """
        entries = [{"Id": str(n), "ReceiptHandle": one.position} for n, one in enumerate(batch.arrived)]
        if not entries:
            return
        try:
            self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            raise PeerUnavailable(f"SQS: {reason(error)}") from None
