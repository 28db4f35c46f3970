"""Pure maps on tensors: no state, no configuration, no absolute epsilon in the value path."""
