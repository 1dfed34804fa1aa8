"""What a program sees of the card beside its tensors: dies, streams and events on a virtual clock, memory figures."""
