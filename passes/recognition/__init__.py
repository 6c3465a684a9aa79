"""What the pass `recognise-activations` looks for, by subject."""
