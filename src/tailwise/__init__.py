"""Learning from rare classes, rare groups and hard examples.

What to import:

=====================  ==========================================================
`tailwise.own`         bring your own features: load, report, pilot, verdict, head
`tailwise.methods`     heads, losses and rules for use in your own code
`tailwise.metrics`     named metrics, and intervals over repetitions
`tailwise.ledger`      claims, records and verdicts
`tailwise.matrix`      every method in every world, and the decision guide
`tailwise.weighting`   chapter 1: weights for a rare class, where a head is refitted
`tailwise.spurious`    chapter 2: last-layer retraining against a spurious cue
`tailwise.softad`      chapter 3: soft ascent-descent and its rivals
`tailwise.experts`     chapter 4: experts on a long tail, and their mixture
`tailwise.geometry`    chapter 5: what cross-entropy makes of imbalanced classes
`tailwise.data`        the data sets of all chapters
`tailwise.models`      networks, and weights that ship
`tailwise.training`    the loop, processes, caches and batches
`tailwise.plots`       the book's style and its figures' parts
`tailwise.profiles`    how large to run
=====================  ==========================================================

`help(tailwise.own)` and so on show what each offers.
"""

__version__ = "0.1.0"
__path__ += [f"{__path__[0]}/before"]  # `tailwise.dfr` and others: names of before
