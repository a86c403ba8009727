//! Unpacking deflate (RFC 1950, RFC 1951) and LZF, with a bound on what comes out.

/// Longest code of a deflate alphabet, in bits.
const MAX_BITS: usize = 15;
/// Base and extra bits of the lengths 257..=285 (RFC 1951, 3.2.5).
#[rustfmt::skip]
const LENGTHS: [(u16, u8); 29] = [
    (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1), (15, 1), (17, 1), (19, 2),
    (23, 2), (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3), (67, 4), (83, 4), (99, 4), (115, 4), (131, 5),
    (163, 5), (195, 5), (227, 5), (258, 0),
];
/// Base and extra bits of the distances 0..=29 (RFC 1951, 3.2.5).
#[rustfmt::skip]
const DISTANCES: [(u16, u8); 30] = [
    (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (7, 1), (9, 2), (13, 2), (17, 3), (25, 3), (33, 4), (49, 4), (65, 5),
    (97, 5), (129, 6), (193, 6), (257, 7), (385, 7), (513, 8), (769, 8), (1025, 9), (1537, 9), (2049, 10), (3073, 10),
    (4097, 11), (6145, 11), (8193, 12), (12289, 12), (16385, 13), (24577, 13),
];
/// The order in which the lengths of the code-length code are sent (RFC 1951, 3.2.7).
const CODE_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Unpacks a zlib stream of at most `limit` bytes; `None` if it is damaged or longer. Its checksum is verified.
pub(super) fn zlib(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let header = u16::from_be_bytes([*packed.first()?, *packed.get(1)?]);
    if packed[0] & 0x0f != 8 || header % 31 != 0 || packed[1] & 0x20 != 0 {
        return None;
    }
    let mut bits = Bits { bytes: packed, at: 2, held: 0, n_held: 0 };
    let mut out = Vec::new();
    loop {
        let last = bits.take(1)?;
        match bits.take(2)? {
            0 => stored(&mut bits, &mut out, limit)?,
            1 => {
                let mut lengths = [8u8; 288];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                codes(&mut bits, &Code::new(&lengths)?, &Code::new(&[5; 30])?, &mut out, limit)?;
            }
            2 => {
                let (literals, distances) = tables(&mut bits)?;
                codes(&mut bits, &literals, &distances, &mut out, limit)?;
            }
            _ => return None,
        }
        if last == 1 {
            break;
        }
    }
    // Whole bytes that were fetched ahead belong to the checksum.
    let end = bits.at - bits.n_held as usize / 8;
    let sum = packed.get(end..end + 4)?;
    (adler32(&out).to_be_bytes() == sum).then_some(out)
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for run in bytes.chunks(5552) {
        for &byte in run {
            a += u32::from(byte);
            b += a;
        }
        a %= 65521;
        b %= 65521;
    }
    b << 16 | a
}

/// Bits of a byte stream, lowest first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u32,
    n_held: u32,
}

impl Bits<'_> {
    /// The next `n <= 16` bits as a number.
    fn take(&mut self, n: u32) -> Option<u32> {
        while self.n_held < n {
            self.held |= u32::from(*self.bytes.get(self.at)?) << self.n_held;
            self.at += 1;
            self.n_held += 8;
        }
        let value = self.held & ((1 << n) - 1);
        self.held >>= n;
        self.n_held -= n;
        Some(value)
    }
}

/// A canonical Huffman code: how many codes there are of each length, and the symbols by length and value.
struct Code {
    counts: [u16; MAX_BITS + 1],
    symbols: Vec<u16>,
}

impl Code {
    /// The code with these lengths by symbol; `None` if they ask for more codes than there are.
    fn new(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0u16; MAX_BITS + 1];
        for &length in lengths {
            *counts.get_mut(length as usize)? += 1;
        }
        counts[0] = 0;
        let mut left = 1i32;
        let mut starts = [0u16; MAX_BITS + 2];
        for length in 1..=MAX_BITS {
            left = (left << 1) - i32::from(counts[length]);
            if left < 0 {
                return None;
            }
            starts[length + 1] = starts[length] + counts[length];
        }
        let mut symbols = vec![0u16; starts[MAX_BITS + 1] as usize];
        for (symbol, &length) in lengths.iter().enumerate().filter(|&(_, &l)| l > 0) {
            symbols[starts[length as usize] as usize] = symbol as u16;
            starts[length as usize] += 1;
        }
        Some(Self { counts, symbols })
    }

    fn decode(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first, mut index) = (0i32, 0i32, 0i32);
        for length in 1..=MAX_BITS {
            code |= bits.take(1)? as i32;
            let count = i32::from(self.counts[length]);
            if code - count < first {
                return self.symbols.get((index + code - first) as usize).map(|&s| s as usize);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

fn stored(bits: &mut Bits<'_>, out: &mut Vec<u8>, limit: usize) -> Option<()> {
    bits.at -= bits.n_held as usize / 8;
    (bits.held, bits.n_held) = (0, 0);
    let head = bits.bytes.get(bits.at..bits.at + 4)?;
    let n = u16::from_le_bytes([head[0], head[1]]);
    if n != !u16::from_le_bytes([head[2], head[3]]) {
        return None;
    }
    let from = bits.at + 4;
    let body = bits.bytes.get(from..from + n as usize)?;
    bits.at = from + n as usize;
    out.extend_from_slice(body);
    (out.len() <= limit).then_some(())
}

/// Reads the two codes of a dynamic block.
fn tables(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    let n_literals = bits.take(5)? as usize + 257;
    let n_distances = bits.take(5)? as usize + 1;
    let n_lengths = bits.take(4)? as usize + 4;
    let mut lengths = [0u8; 19];
    for &position in &CODE_ORDER[..n_lengths] {
        lengths[position] = bits.take(3)? as u8;
    }
    let code = Code::new(&lengths)?;
    let mut all: Vec<u8> = Vec::new();
    while all.len() < n_literals + n_distances {
        let (length, times) = match code.decode(bits)? {
            symbol @ 0..=15 => (symbol as u8, 1),
            16 => (*all.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            _ => (0, 11 + bits.take(7)?),
        };
        all.resize(all.len() + times as usize, length);
    }
    if all.len() != n_literals + n_distances {
        return None;
    }
    Some((Code::new(&all[..n_literals])?, Code::new(&all[n_literals..])?))
}

/// Unpacks the literals and copies of one block.
fn codes(
    bits: &mut Bits<'_>,
    literals: &Code,
    distances: &Code,
    out: &mut Vec<u8>,
    limit: usize,
) -> Option<()> {
    loop {
        match literals.decode(bits)? {
            256 => return Some(()),
            symbol @ 0..=255 => out.push(symbol as u8),
            symbol => {
                let &(base, extra) = LENGTHS.get(symbol - 257)?;
                let n = base as usize + bits.take(u32::from(extra))? as usize;
                let &(base, extra) = DISTANCES.get(distances.decode(bits)?)?;
                let back = base as usize + bits.take(u32::from(extra))? as usize;
                copy(out, back, n)?;
            }
        }
        if out.len() > limit {
            return None;
        }
    }
}

/// Appends `n` bytes from `back` bytes before the end; the two may overlap.
fn copy(out: &mut Vec<u8>, back: usize, n: usize) -> Option<()> {
    let from = out.len().checked_sub(back)?;
    for position in from..from + n {
        out.push(out[position]);
    }
    Some(())
}

/// Unpacks LZF data of at most `limit` bytes; `None` if it is damaged or longer.
pub(super) fn lzf(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&control) = packed.get(at) {
        at += 1;
        if control < 32 {
            let end = at + control as usize + 1;
            out.extend_from_slice(packed.get(at..end)?);
            at = end;
        } else {
            let mut n = (control >> 5) as usize;
            if n == 7 {
                n += *packed.get(at)? as usize;
                at += 1;
            }
            let back = ((control as usize & 0x1f) << 8 | *packed.get(at)? as usize) + 1;
            at += 1;
            copy(&mut out, back, n + 2)?;
        }
        if out.len() > limit {
            return None;
        }
    }
    Some(out)
}
