"""Running an image once to see what it opens, so that ``pyestargz optimize`` can put that first.

sample_spec.py   what is run: the image's own command, or another
sample_root.py   its layers, unpacked by containerd         lower_layers.py  which of them has a file
sample_run.py    the run, under ``fanotify.py``             access_log.py    what was opened, in order
sample_container.py  the container, by way of ``ctr_client.py``    page_residency.py  how much of a file was read
"""
