"""The eStargz format: layers that can be read a chunk at a time.

An eStargz blob is an ordinary gzip-compressed tar, cut into members that each decompress alone, with
a table of contents (TOC) as its last tar entry and a footer that says where the TOC begins. Reading goes

    footer.py   where the TOC is                 opening.py  which bytes to ask for, in which order
    toc.py      what the TOC says                members.py  compressed member -> content
    verify.py   content -> content known to be right

and writing, the other way round,

    tar_stream.py  the tar that comes in         writer.py   the blob that goes out
    convert.py     a whole image in, a whole image out

Everything but ``convert.py`` is pure: bytes and values in, bytes and values out.
"""
