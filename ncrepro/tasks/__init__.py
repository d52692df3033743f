"""What a pool's models are trained to do, one module per kind of task.

Each module has the same three steps, which `experiment` runs and keeps:
``pretrain(spec)``, ``finetune(spec, pretrained_spec, pretrained)`` and ``extract(spec, pretrained_spec, pretrained)``.
It also says which names it knows (``ARCHITECTURES``, ``LOSSES``, ``DATASETS``) and which code trains (``CODE``); it may
say which data sets and losses a pool has to do without (``unobtainable``: their names, and what to do about it), and ``check``
a pool. What it may be told about its three steps stands in `recipes`.
"""
