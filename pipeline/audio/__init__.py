"""Pure numpy: samples, rates, the tone, the speech detector's model."""
