"""The eStargz format: layers that can be read a chunk at a time.

An eStargz blob is an ordinary gzip-compressed tar, cut into members that each decompress alone, with
a table of contents (TOC) as its last tar entry and a footer that says where the TOC begins. Reading goes

    footer.py   where the TOC is                 opening.py  which bytes to ask for, in which order
    toc.py      what the TOC says                members.py  compressed member -> content (codec.py: gzip, zstd)
    verify.py   content -> content known to be right

and writing, the other way round,

    layer_input.py  compressed layer -> tar       tar_stream.py   tar -> its entries, and where their bytes are
    ordering.py     which entries come first      planning.py     entries -> members
    writer.py       members -> blob, TOC, digests

and ``external_toc.py`` and ``toc_image.py`` find and make the images of TOCs that are kept apart. ``docs/formats.md`` lists
all that is read and written.

A whole image is converted by ``convert.py`` (with ``image_reading``, ``reuse``, ``layer_pipeline``, ``layer_conversion`` and
``image_rewriting``), looked at by ``inspection.py`` and ``image_files.py`` (with ``image_tree``), and proved right by
``verification.py`` (with ``toc_comparison``). These do I/O, through ``registry.images`` and temporary
files; the formats above are pure: bytes and values in, bytes and values out.
"""
