"""The Lambda function that a contact flow calls: one record into a Kinesis stream, and never a failed call.

It runs in the customer's account, with boto3 as Lambda brings it, and imports nothing of ours. Whatever goes wrong, the
flow hears it as a status and goes on: the contact record makes up for a start that was lost.
"""

import json
import os
import time
from typing import Any

import boto3
from botocore.config import Config

Json = dict[str, Any]  # as Lambda hands it over

# The caller waits. There is one attempt, and no step of it takes longer than this: connecting, the two round trips of
# TLS, the answer. The function's own limit of 1 s (`template.yaml`) ends what is left, such as a name server's silence.
_LIMITS = Config(connect_timeout=0.2, read_timeout=0.4, retries={"total_max_attempts": 1})
_kinesis = boto3.client("kinesis", config=_LIMITS)


def handler(event: Json, context: object) -> dict[str, str]:
    """Send what the flow knows of its contact."""
    try:
        contact = event["Details"]["ContactData"]
        _kinesis.put_record(
            StreamARN=os.environ["STREAM_ARN"],
            PartitionKey=contact["InitialContactId"] or contact["ContactId"],
            Data=json.dumps({"time_ms": time.time_ns() // 1_000_000, "contact": contact}).encode(),
        )
    except Exception as failure:  # noqa: BLE001 - a call never fails for our sake
        return {"status": "not sent", "reason": type(failure).__name__}
    return {"status": "sent"}
