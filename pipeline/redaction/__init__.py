"""Find what must not be shown or stored in the words of a call.

Pure code over both tracks: `words` reads single words, `digits` decodes runs of digits in place, `contexts` says what a
number is called, `detect` decides, `memory` keeps what recurs, `cover` turns masks into tokens and audio spans, `lines`
is the offline form. The stage that holds the state of a contact is `pipeline.stages.redaction`.
"""
