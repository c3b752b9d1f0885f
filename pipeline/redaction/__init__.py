"""Find what must not be shown or stored in the words of a call.

Pure code over both tracks. `words` reads single words, `reading` a turn; `digits` joins digits to numbers over turns,
`numbers` decides what each one is with the help of `checks` and `explain`; `emails`, `names` and `places` find the
rest. `detect` puts the findings together, `cover` turns them into tokens and audio spans, `lines` is the offline
form. `languages` is data. The stage that holds the state of a contact is `pipeline.stages.redaction`.
"""
