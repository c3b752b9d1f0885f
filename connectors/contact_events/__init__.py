"""Amazon Connect's word on contacts: flow events, agent events, contact records and contact events, into Kafka."""
