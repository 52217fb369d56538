"""What came out. A training leaves one record, a measurement one finding beside it: small JSON files, written once under their
own names, with where they come from and what they took. In come numbers, out go files that are checked when they are read. What
the numbers mean is not said here, and nothing here needs torch before it asks for the machine."""

from .left_out import LeftOut, left_out
from .reading import read, read_records, seeds, write
from .record import IMAGES, SCHEMA, Record, all_metrics, as_dict, by_evaluation, by_key, dumps, metrics, once, pack, unpack

__all__ = ["IMAGES", "SCHEMA", "LeftOut", "Record", "all_metrics", "as_dict", "by_evaluation", "by_key", "dumps", "left_out",
           "metrics", "once", "pack", "read", "read_records", "seeds", "unpack", "write"]
