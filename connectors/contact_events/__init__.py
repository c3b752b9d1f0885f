"""Amazon Connect's word on contacts: flow events, agent events, contact records and contact events, into Kafka.

    flow/                       runs in the customer's account: a Lambda function that a contact flow calls
    feeds.py                    which feeds there are, whose they are, and who reads each
    started.py, agents.py,      one module for what each feed's JSON says; fields.py reads its fields, facts.py is what
    contact_record.py,          they all return
    contact_event.py
    kinesis.py, sqs.py          bytes from AWS, and how far they have been taken
    sealed.py                   facts become records: endpoints and attributes are encrypted

All but the last two lines is pure: no connection, no clock. `pipeline/engines/source.py` runs the feeds.
"""
