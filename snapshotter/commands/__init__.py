"""What people type: one module for each command of ``pyestargz``, and what several of them need.

    *_command.py     one command each, from its arguments to its exit code (``exit_codes.py``)
    image_stores.py  images, wherever a command names them     image_options.py  how it names them
    convert_*.py     options and report of conversions         sample_*.py       of sample runs (package ``sampling``)
    *_checks.py      what ``pyestargz doctor`` looks at        image_status.py   what ``pyestargz status`` tells

Nothing outside ``cli.py`` imports from here: commands use the application, it does not know them.
"""
