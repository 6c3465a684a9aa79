"""The TPU: instructions, machines as data, a simulator exact in values and cycles, and the compiler that feeds them."""
