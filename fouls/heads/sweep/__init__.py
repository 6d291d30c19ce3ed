"""Many configurations trained on one copy of the features, and the best of them chosen on valid.

Heads of one shape with the same seed are trained at once, as one stack (:mod:`fouls.heads.sweep.fit_stack`); the others
one after another. Either way each comes out as ``fouls train-head`` with the same options would train it.
"""
