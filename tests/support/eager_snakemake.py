"""Snakemake whose SLURM executor looks at the queue every other second; its own waits ten seconds longer each time."""

import asyncio
import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor


async def sleep(self: Executor) -> None:
    await asyncio.sleep(2)


if __name__ == "__main__":
    Executor.sleep = sleep
    sys.exit(main())
