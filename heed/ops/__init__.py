"""Pure tensor maths: no models, no settings, no state."""
