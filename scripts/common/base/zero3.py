"""Sizes of DeepSpeed's ZeRO stage 3, in elements: the engine is given them, and a plan counts them.

Less is kept and summed than by DeepSpeed's defaults (1e9 and 5e8): a 13B model needs that memory for its activations.
"""

# What stays gathered at once, beyond one layer; what is fetched ahead.
LIVE_PARAMETERS = 400_000_000
PREFETCHED = 50_000_000
# Gradients that are summed before they are exchanged.
REDUCE_BUCKET = 200_000_000
# Parameters that the optimizer updates at once.
SUB_GROUP = 1_000_000_000
