"""The order of what hosts say, by (epoch, sequence): each row keeps the newest that it was told.

Called by fleet/reports and by the nouns' ``observe``.
"""


def older(table, epoch, sequence):
    """The condition under which a row of ``table`` has only heard what is older than this."""
    return (table.epoch < epoch) | ((table.epoch == epoch) & (table.sequence < sequence))
