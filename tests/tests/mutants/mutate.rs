//! Bytes of a file, spoiled.

/// A fixed sequence of numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence of mutant `number` of sample `sample`.
    pub fn of(sample: usize, number: usize) -> Self {
        let mut all = Self((sample as u64) << 40 ^ number as u64);
        all.next();
        all
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `n`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// One of `all`.
    pub fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Integers that readers tend to believe.
fn extreme(numbers: &mut Numbers, len: usize) -> u64 {
    let len = len as u64;
    numbers.one(&[
        0,
        1,
        2,
        7,
        255,
        256,
        65_535,
        len - 1,
        len,
        len + 1,
        len / 2,
        1 << 31,
        (1 << 31) - 1,
        (1 << 32) - 1,
        1 << 32,
        1 << 40,
        1 << 62,
        1 << 63,
        u64::MAX,
        u64::MAX - 1,
        u64::MAX - 7,
    ])
}

/// Spoils `bytes` in one to three ways.
pub fn bytes(original: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut out = original.to_vec();
    for _ in 0..1 + numbers.below(3) {
        if out.len() < 16 {
            out.extend_from_slice(b"0123456789abcdef");
        }
        once(&mut out, numbers);
    }
    out
}

fn once(out: &mut Vec<u8>, numbers: &mut Numbers) {
    let n = out.len();
    match numbers.below(10) {
        0 => out.truncate(numbers.below(n)),
        1 | 2 => {
            for _ in 0..1 + numbers.below(8) {
                let at = numbers.below(n);
                let flipped = out[at] ^ 1 << numbers.below(8);
                out[at] = numbers.one(&[0, 0xff, 0x7f, 0x80, flipped, flipped]);
            }
        }
        // A length, a count, an address.
        3 | 4 => {
            let width = numbers.one(&[1, 2, 4, 8]);
            let at = numbers.below(n - 8) / width * width;
            let value = extreme(numbers, n);
            out[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        5 | 6 => exchange_addresses(out, numbers),
        7 => {
            let run = (1 << numbers.below(10)).min(n - 1);
            let (from, to) = (numbers.below(n - run), numbers.below(n - run));
            out.copy_within(from..from + run, to);
        }
        8 => {
            let run = (1 << numbers.below(10)).min(n - 1);
            let from = numbers.below(n - run);
            out[from..from + run].fill(0);
        }
        _ => exchange_digits(out, numbers),
    }
}

/// Puts one address of the file where another stood: structures that contain themselves, or each other.
fn exchange_addresses(out: &mut [u8], numbers: &mut Numbers) {
    let n = out.len() as u64;
    let word = |at: usize, out: &[u8]| u64::from_le_bytes(std::array::from_fn(|i| out[at + i]));
    let is_address = |v: u64| v >= 48 && v < n && v.is_multiple_of(8);
    let start = numbers.below(out.len() / 8) * 8;
    let places: Vec<usize> =
        (start..out.len() - 7).step_by(8).filter(|at| is_address(word(*at, out))).take(24).collect();
    if places.len() < 2 {
        return;
    }
    let (from, to) = (numbers.one(&places), numbers.one(&places));
    // Its own place makes a circle of one.
    let value = if numbers.below(3) == 0 { to as u64 } else { word(from, out) };
    out[to..to + 8].copy_from_slice(&value.to_le_bytes());
}

/// Writes another number where digits stand: sizes in text and JSON.
fn exchange_digits(out: &mut Vec<u8>, numbers: &mut Numbers) {
    let start = numbers.below(out.len());
    let Some(at) = out[start..].iter().position(u8::is_ascii_digit).map(|p| p + start) else { return };
    let end = out[at..].iter().position(|b| !b.is_ascii_digit()).map_or(out.len(), |p| p + at);
    let new = numbers.one(&[
        "0",
        "-1",
        "1",
        "3",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "18446744073709551615",
        "99999999999999999999999999",
        "1e400",
        "nan",
        "\"\"",
        "[]",
        "null",
        "",
        "1 2 3",
        ",",
    ]);
    out.splice(at..end, new.bytes());
}
