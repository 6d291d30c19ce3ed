"""MoViNet: Kondratyuk et al., "MoViNets: Mobile Video Networks for Efficient Video Recognition", CVPR 2021.

``configs`` has the tables of blocks; ``padding``, ``layers`` and ``squeeze_excite`` the parts; ``streaming`` what a
causal net remembers of a video; ``blocks`` and ``net`` put them together; ``published`` and ``builder`` load weights
and make a backbone of them. Modules are named so that state dicts are those of the published PyTorch weights.
"""
