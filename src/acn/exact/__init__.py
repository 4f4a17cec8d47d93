"""Tables of integers and slots of symbols: what exact coding computes with, the same on every machine."""
