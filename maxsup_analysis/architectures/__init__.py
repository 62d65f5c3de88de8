"""Which classifier is it? From the names and shapes of a state dict to a constructor and its arguments.

`known` holds what there is, `guess` finds it, `nearest` and `families` speak where nothing fits; none of
them imports torch. `build` makes the module, `make_index` rewrites the shipped index.
"""
