# cython: language_level=3
x = 1
