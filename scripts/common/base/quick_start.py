"""Garbage collection rests while a script loads its libraries and when it ends: a third of a short job's time.

Every script imports this first. The million objects of the libraries live to the end; collecting would find nothing
among them, again and again, and once more before the interpreter ends.
"""

import atexit
import gc

gc.disable()
atexit.register(gc.freeze)
