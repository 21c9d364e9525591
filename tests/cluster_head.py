"""A build on a cluster, as a process that tests may kill; it prints a line for each step of progress.

Arguments: address of the scheduler, folder of its certificates, table, index, rows of a shard.
"""

import sys
from functools import partial
from pathlib import Path

import audience
from audience.index.ingest import build

say = partial(print, flush=True)

if __name__ == "__main__":
    address, certificates, table, index, shard_rows = sys.argv[1:]
    build.MAX_SHARD_DEVICES = int(shard_rows)
    files = audience.Certificates(**{name: Path(certificates, f"{name}.pem") for name in ("ca", "cert", "key")})
    say("imported")
    try:
        with audience.connect_cluster(address, certificates=files) as cluster:
            say("connected")
            audience.DeviceIndex.build(
                table,
                index,
                replace=True,
                cluster=cluster,
                progress=say,
            )
    except audience.AudienceError as error:
        say(error)
        say("failed", error.code)
        sys.exit(1)
    say("built")
