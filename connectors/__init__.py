"""One file or folder for each outside system; each speaks one protocol and decides nothing."""
