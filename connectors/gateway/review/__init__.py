"""What a reviewer uses: the queue of contacts that wait for a person, and the way to decide about one.

    Kafka -> feed.py -> cases.py (pure) -> desk.py -> routes.py -> page/review*.js
    page/review*.js -> routes.py -> desk.py -> Kafka -> stage `verification`

Read `desk.py` first. It is there only where the setting `reviewers` names who may review. What is decided is carried
out by the stages `verification` and `redaction`; unredacted words come by `raw.py` alone.
"""
