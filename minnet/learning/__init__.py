"""For people learning how backprop works: checks of a backward pass that name the mistake, and a lab of mistakes."""
