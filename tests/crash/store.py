"""A look into a stopped store with the RocksDB library itself, past the broker."""

import contextlib
import ctypes
import os

FORMAT_KEY = b'F'
CHUNK_KEY = b'C'


def library():
    rocksdb = ctypes.CDLL('librocksdb.so')
    for name in ('rocksdb_options_create', 'rocksdb_open', 'rocksdb_writeoptions_create',
                 'rocksdb_readoptions_create', 'rocksdb_get', 'rocksdb_create_iterator',
                 'rocksdb_iter_key'):
        getattr(rocksdb, name).restype = ctypes.c_void_p
    rocksdb.rocksdb_iter_valid.restype = ctypes.c_ubyte
    return rocksdb


def find(data):
    """The directory of the store below a data directory."""
    return next(folder for folder, _, names in os.walk(data) if 'CURRENT' in names)


@contextlib.contextmanager
def opened(data):
    """The library and the open store; the store is closed at the end."""
    directory = find(data)
    rocksdb = library()
    error = ctypes.c_char_p()
    options = ctypes.c_void_p(rocksdb.rocksdb_options_create())
    db = ctypes.c_void_p(rocksdb.rocksdb_open(options, directory.encode(), ctypes.byref(error)))
    if error.value:
        raise OSError(error.value.decode(errors='replace'))
    try:
        yield rocksdb, db
    finally:
        rocksdb.rocksdb_close(db)


def put(data, key, value):
    with opened(data) as (rocksdb, db):
        error = ctypes.c_char_p()
        options = ctypes.c_void_p(rocksdb.rocksdb_writeoptions_create())
        rocksdb.rocksdb_put(db, options, key, ctypes.c_size_t(len(key)), value,
                            ctypes.c_size_t(len(value)), ctypes.byref(error))
        if error.value:
            raise OSError(error.value.decode(errors='replace'))


def count(data, prefix):
    """Rows whose keys begin so."""
    with opened(data) as (rocksdb, db):
        options = ctypes.c_void_p(rocksdb.rocksdb_readoptions_create())
        rows = ctypes.c_void_p(rocksdb.rocksdb_create_iterator(db, options))
        rocksdb.rocksdb_iter_seek(rows, prefix, ctypes.c_size_t(len(prefix)))
        found = 0
        while rocksdb.rocksdb_iter_valid(rows):
            size = ctypes.c_size_t()
            key = rocksdb.rocksdb_iter_key(rows, ctypes.byref(size))
            if not ctypes.string_at(key, size.value).startswith(prefix):
                break
            found += 1
            rocksdb.rocksdb_iter_next(rows)
        rocksdb.rocksdb_iter_destroy(rows)
        return found
