"""Check afterwards, by other means than the detector's, that nothing sensitive was published.

`spoken` turns words into numbers, `rescan` looks through a whole contact. They share no table, phrase or number speller
with `pipeline.redaction`: what one overlooks the other may find.
"""
