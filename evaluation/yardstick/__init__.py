"""The product and its controls on the same nights of insurers whose truth is known."""
