"""The explorer: a map of the codes of a run in the browser, served from this machine to this machine."""
