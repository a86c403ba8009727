//! Unpacking against streams made with Python's zlib, and against noise.

use crate::anndata::inflate::{lzf, zlib};

#[rustfmt::skip]
const DYNAMIC: &[u8] = &[
    120, 218, 237, 207, 201, 113, 5, 49, 8, 64, 65, 16, 155, 36, 214, 252, 163, 245, 76, 217, 7, 59, 6, 255, 43, 69, 61, 104, 64, 62, 179, 87, 103, 246, 218, 115, 88, 88, 118, 82, 92, 101, 214, 34, 103, 130, 1, 139, 213, 71, 204, 14, 104, 185, 146, 90, 173, 148, 153, 66, 114, 8, 97, 100, 9, 118, 67, 36, 58, 169, 232, 215, 111, 203, 101, 112, 79, 88, 151, 58, 108, 251, 168, 11, 206, 160, 88, 239, 55, 73, 187, 13, 43, 162, 240, 215, 224, 123, 195, 117, 124, 91, 52, 221, 5, 233, 14, 124, 165, 159, 164, 163, 230, 33, 66, 52, 231, 159, 163, 224, 132, 53, 35, 185, 202, 158, 183, 188, 20, 142, 153, 156, 94, 97, 111, 146, 157, 234, 117, 220, 160, 220, 15, 236, 175, 20, 225, 67, 255, 208, 255, 11, 253, 11, 6, 2, 29, 179,
];

#[test]
fn streams_of_every_block_kind() {
    // zlib.compress(b"hello hello hello hello", 9), level 0, and 1000 values i*i % 251 % 17 at level 9.
    let fixed = [120, 218, 203, 72, 205, 201, 201, 87, 200, 64, 39, 1, 104, 3, 8, 177];
    assert_eq!(zlib(&fixed, 23).unwrap(), b"hello hello hello hello");
    assert_eq!(zlib(&fixed, 22), None);
    let stored = [120, 1, 1, 3, 0, 252, 255, 97, 98, 99, 2, 77, 1, 39];
    assert_eq!(zlib(&stored, 3).unwrap(), b"abc");
    let wanted: Vec<u8> = (0..1000u32).map(|i| (i * i % 251 % 17) as u8).collect();
    assert_eq!(zlib(DYNAMIC, 1000).unwrap(), wanted);
    assert_eq!(zlib(&[], 10), None);
    assert_eq!(lzf(&[2, b'a', b'b', b'c', 0x20, 2, 0, b'!'], 100).unwrap(), b"abcabc!");
    assert_eq!(lzf(&[0x20, 200], 100), None);
}

#[test]
fn damaged_streams_are_refused() {
    let good = [120, 218, 203, 72, 205, 201, 201, 87, 200, 64, 39, 1, 104, 3, 8, 177];
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good;
            bad[at] ^= 1 << bit;
            // The compression level in the header is not covered by the checksum.
            let found = zlib(&bad, 1 << 16);
            assert!(found.is_none() || found.as_deref() == Some(b"hello hello hello hello"), "{at} {bit}");
        }
        assert_eq!(zlib(&good[..at], 1 << 16), None);
    }
    let mut state = 1u64;
    for _ in 0..2000 {
        let noise: Vec<u8> = (0..200)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect();
        assert!(zlib(&[&[120, 218], noise.as_slice()].concat(), 1 << 12).is_none_or(|v| v.len() <= 1 << 12));
        assert!(lzf(&noise, 1 << 12).is_none_or(|v| v.len() <= 1 << 12));
    }
}
