"""Faust by the batch: one stream element per partition and poll, progress by whole batches, output that is checked.

These classes override private methods of Faust, which is why `versions` refuses every version but the tested one.
"""
