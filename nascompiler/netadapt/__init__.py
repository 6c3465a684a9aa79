"""NetAdapt (arXiv:1804.03230) as MobileNetV3 uses it (arXiv:1905.02244, section 4.2): fewer channels, step by step.

Each step proposes networks in which one layer, or all layers that share a bottleneck, lost so many channels that the
latency falls by the step's part; each is trained a little, and the one that pays best is the next network. torch is
imported where networks are trained, not here.
"""
