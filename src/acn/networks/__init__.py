"""Networks: encoder, prior, gated PixelCNN, and the geometry of causality."""
