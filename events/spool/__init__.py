"""The spool keeps records on disk until Kafka has them, so that they survive the process. No Django, no Kafka here.

Each process appends to a folder of its own, `spool-…` below one root. Nothing else below the root is ever read or
removed. The folder holds

- `lock`: the process holds a lock on this file while it lives. When the lock is free, the process is gone, and another
  process adopts the folder;
- segments `00000001.log`, …: records one after the other, each behind its length and its checksum;
- `cursor`: the position up to which everything is delivered. The cursor may lag behind: a record may then be delivered
  a second time, but none is left out.

`log` appends, `reader` reads and moves the cursor, `ownership` makes, adopts and releases folders, and `segments` knows
the bytes and names of the files.
"""
