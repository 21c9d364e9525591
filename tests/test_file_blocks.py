"""Checksums of the blocks of a file are those of its bytes."""

import numpy as np
import pytest

from audience.index.storage.verified_file import BLOCK_BYTES, READ_BYTES, hash_blocks, hash_file_blocks


@pytest.mark.parametrize("around", [0, BLOCK_BYTES, READ_BYTES, 2 * READ_BYTES])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_blocks_of_a_file_are_hashed_as_those_of_its_bytes(tmp_path, around, more):
    size = max(around + more, 0)
    data = np.random.default_rng(size).bytes(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    assert hash_file_blocks(path).tolist() == hash_blocks(memoryview(data)).tolist()
    assert len(hash_file_blocks(path)) == -(-size // BLOCK_BYTES)
