//! The counter-based generator: a draw is a pure function of (seed, step, stream, row, element), the same on every
//! back end and for any number of threads.
//!
//! Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC 2011). Key = the seed; counter = element, row, and a mix of step
//! and stream with a 32-bit block number for draws that need more than four words.

use crate::op::RandomKind;
use crate::special;
use crate::store::StepKey;

pub(crate) const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
pub(crate) const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds of Philox4x32: 128 bits of counter to 128 random bits under a 64-bit key.
#[inline]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut c = counter;
    let mut k = key;
    for _ in 0..10 {
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c[0]);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c[2]);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
    }
    c
}

/// The randomness of one element: an endless stream of 32-bit words.
#[derive(Clone, Debug)]
pub struct ElementStream {
    key: [u32; 2],
    counter: [u32; 4],
    words: [u32; 4],
    used: usize,
}

/// What all elements of one site share in one step: the key and the part of the counter that is fixed.
#[derive(Clone, Copy, Debug)]
pub struct SiteKey {
    key: [u32; 2],
    tag: u32,
}

impl SiteKey {
    /// The site `stream` of the step `key`.
    pub fn new(key: StepKey, stream: u32) -> Self {
        // One Philox call mixes seed, step and stream into an independent key, so that no counter bits are spent on them.
        let seed = [key.seed as u32, (key.seed >> 32) as u32];
        let mixed = philox([key.step as u32, (key.step >> 32) as u32, stream, 0x5356_4943], seed);
        Self { key: [mixed[0], mixed[1]], tag: mixed[2] }
    }

    /// The stream of the element at `position` (on the own axes) of `row`.
    #[inline]
    pub fn element(&self, row: u32, position: u64) -> ElementStream {
        let counter = [position as u32, row, self.tag ^ (position >> 32) as u32, 0];
        ElementStream { key: self.key, counter, words: [0; 4], used: 4 }
    }

    /// The first two words of several elements, each with its row and position; a loop that becomes vector code.
    #[inline(always)]
    pub fn words_of<const N: usize>(&self, rows: &[u32; N], positions: &[u64; N]) -> [[u32; N]; 2] {
        let mut c = [[0_u32; N]; 4];
        for l in 0..N {
            c[0][l] = positions[l] as u32;
            c[1][l] = rows[l];
            c[2][l] = self.tag ^ (positions[l] >> 32) as u32;
        }
        let mut k = self.key;
        for _ in 0..10 {
            for l in 0..N {
                let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c[0][l]);
                let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c[2][l]);
                c[0][l] = (p1 >> 32) as u32 ^ c[1][l] ^ k[0];
                c[1][l] = p1 as u32;
                c[2][l] = (p0 >> 32) as u32 ^ c[3][l] ^ k[1];
                c[3][l] = p0 as u32;
            }
            k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        }
        [c[0], c[1]]
    }

    /// The key, and the fixed part of the counter.
    #[cfg(all(feature = "cpu", target_arch = "x86_64"))]
    pub(crate) fn parts(&self) -> ([u32; 2], u32) {
        (self.key, self.tag)
    }

    /// The first four words of an element: what uniform and normal draws use.
    #[inline]
    pub fn words(&self, row: u32, position: u64) -> [u32; 4] {
        philox([position as u32, row, self.tag ^ (position >> 32) as u32, 0], self.key)
    }
}

impl ElementStream {
    /// The next 32 random bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox(self.counter, self.key);
            self.counter[3] = self.counter[3].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Uniform on the open interval (0, 1), from one word.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        open_unit(self.next_u32())
    }

    /// Standard normal, from two words (Box and Muller).
    #[inline]
    pub fn normal(&mut self) -> f64 {
        let a = self.next_u32();
        let b = self.next_u32();
        normal_from(a, b)
    }
}

/// Maps 32 bits to the open interval (0, 1): the middle of one of 2³² equal cells, and not above 1 − 2⁻²⁴, so that it
/// stays below 1 in single precision too.
#[inline]
pub fn open_unit(word: u32) -> f64 {
    const BELOW_ONE: f64 = 1.0 - 1.0 / 16_777_216.0;
    ((f64::from(word) + 0.5) * (1.0 / 4_294_967_296.0)).min(BELOW_ONE)
}

/// A standard normal from two words: √(−2 log u) cos 2πv. Without branches, so that a loop over it becomes vector code.
#[inline(always)]
pub fn normal_from(a: u32, b: u32) -> f64 {
    (-2.0 * log_unit(open_unit(a))).sqrt() * cos_turns(open_unit(b))
}

/// log u for 0 < u < 1, to 3 ulp: u = 2ᵏ m with √½ ≤ m < √2, and log m = 2 artanh s with s = (m − 1)/(m + 1).
#[inline(always)]
fn log_unit(u: f64) -> f64 {
    // √½, and the place of the exponent in a number's bits.
    const ROOT: u64 = 0x3FE6_A09E_667F_3BCD;
    const EXPONENT: u64 = 0xFFF0_0000_0000_0000;
    let k = u.to_bits().wrapping_sub(ROOT) & EXPONENT;
    let m = f64::from_bits(u.to_bits().wrapping_sub(k));
    let k = (k as i64 >> 52) as f64;
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut series = 1.0 / 25.0;
    for n in [23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        series = series * z + 1.0 / n;
    }
    k * std::f64::consts::LN_2 + 2.0 * (s + s * z * series)
}

/// cos 2πv for 0 ≤ v ≤ 1, to 3·10⁻¹⁶: −sin 2π(¼ − |v − ½|) by the sine's series.
#[inline(always)]
fn cos_turns(v: f64) -> f64 {
    let x = std::f64::consts::TAU * ((v - 0.5).abs() - 0.25);
    let z = x * x;
    let mut series = 1.0;
    // x − x³/3! + …: each term is the one before times −x²/((n − 1) n).
    for n in [23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        series = 1.0 - series * z * (1.0 / ((n - 1.0) * n));
    }
    x * series
}

/// One draw of an elementwise kind, with its parameters in the order of [`RandomKind`]. NaN for parameters outside
/// their support. (A multinomial draws a whole vector: [`multinomial`].)
pub fn draw(kind: RandomKind, params: &[f64], words: &mut ElementStream) -> f64 {
    match kind {
        RandomKind::Uniform => words.uniform(),
        RandomKind::Normal => words.normal(),
        RandomKind::LogGamma => log_gamma(words, params[0]),
        RandomKind::Poisson => poisson(words, params[0].min(1e8)),
        RandomKind::Binomial => binomial(words, params[0], params[1]),
        RandomKind::Multinomial(_) => f64::NAN,
    }
}

/// Gamma with rate 1; underflows to 0 where its logarithm is below −745 (concentrations below about 0.03).
pub fn gamma(words: &mut ElementStream, concentration: f64) -> f64 {
    let (log_power, z) = gamma_parts(words, concentration);
    z * log_power.exp()
}

/// Logarithm of a Gamma with rate 1: finite however small the concentration is.
pub fn log_gamma(words: &mut ElementStream, concentration: f64) -> f64 {
    let (log_power, z) = gamma_parts(words, concentration);
    z.ln() + log_power
}

/// A Gamma as (l, z) with value eˡ z: below a concentration of 1 it is the draw at one more times u^(1/a), elsewhere
/// l = 0.
fn gamma_parts(words: &mut ElementStream, concentration: f64) -> (f64, f64) {
    if !(concentration > 0.0 && concentration.is_finite()) {
        return (0.0, f64::NAN);
    }
    if concentration >= 1.0 {
        return (0.0, gamma_from_one(words, concentration));
    }
    // u first, so that the number of words used before the squeeze is fixed.
    let log_power = words.uniform().ln() / concentration;
    (log_power, gamma_from_one(words, concentration + 1.0))
}

/// Marsaglia and Tsang (2000), for concentrations of at least 1.
fn gamma_from_one(words: &mut ElementStream, concentration: f64) -> f64 {
    let d = concentration - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = words.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && words.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// Poisson: inversion by multiplication below 10, transformed rejection above (Hörmann, 1993, algorithm PTRS).
pub fn poisson(words: &mut ElementStream, rate: f64) -> f64 {
    if !(rate >= 0.0 && rate.is_finite()) {
        return f64::NAN;
    }
    if rate < 10.0 {
        let limit = (-rate).exp();
        let mut product = words.uniform();
        let mut k = 0.0;
        while product > limit {
            product *= words.uniform();
            k += 1.0;
        }
        return k;
    }
    let log_rate = rate.ln();
    let b = 0.931 + 2.53 * rate.sqrt();
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let v_r = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let u = words.uniform() - 0.5;
        let v = words.uniform();
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + rate + 0.43).floor();
        if us >= 0.07 && v <= v_r {
            return k;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        let bound = k * log_rate - rate - special::lgamma(k + 1.0);
        if (v * inverse_alpha / (a / (us * us) + b)).ln() <= bound {
            return k;
        }
    }
}

/// Binomial: inversion for small means, else as a sum over halves by the order statistic of a Beta draw (Devroye, 1986,
/// X.4.3), which needs no rejection constants and takes a number of steps that grows with the logarithm of `total`.
pub fn binomial(words: &mut ElementStream, total: f64, probability: f64) -> f64 {
    if !(total >= 0.0 && total.fract() == 0.0 && (0.0..=1.0).contains(&probability)) {
        return f64::NAN;
    }
    let (mut n, mut p, mut sum) = (total, probability, 0.0);
    while n > 30.0 {
        // The i-th smallest of n uniforms is Beta(i, n + 1 − i).
        let i = (n / 2.0).floor() + 1.0;
        let (x, y) = (gamma(words, i), gamma(words, n + 1.0 - i));
        let v = x / (x + y);
        if v <= p {
            sum += i;
            p = ((p - v) / (1.0 - v)).clamp(0.0, 1.0);
            n -= i;
        } else {
            p = (p / v).clamp(0.0, 1.0);
            n = i - 1.0;
        }
    }
    (0..n as u32).fold(sum, |s, _| s + f64::from(u8::from(words.uniform() < p)))
}

/// Multinomial counts by conditional binomials, in the order of the categories; `weights` are normalised here.
pub fn multinomial(words: &mut ElementStream, total: f64, weights: &[f64]) -> Vec<f64> {
    let mut left = total;
    let mut mass: f64 = weights.iter().sum();
    let last = weights.len().saturating_sub(1);
    let mut out = Vec::with_capacity(weights.len());
    for (k, w) in weights.iter().enumerate() {
        let p = if k == last { 1.0 } else { (w / mass).clamp(0.0, 1.0) };
        let x = if left > 0.0 { binomial(words, left, p) } else { 0.0 };
        out.push(x);
        left -= x;
        mass -= w;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{Binomial, ChiSquared, ContinuousCDF, Discrete, Gamma, Normal, Poisson};

    #[test]
    fn words_of_several_elements_are_those_of_each() {
        let site = SiteKey::new(StepKey { seed: 7, step: 3 }, 5);
        let rows = [3, 3, 9, u32::MAX];
        let positions = [0, 1, 1 << 40, 77];
        let several = site.words_of(&rows, &positions);
        for l in 0..4 {
            let one = site.words(rows[l], positions[l]);
            assert_eq!([several[0][l], several[1][l]], one[..2]);
        }
    }

    /// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    /// `n` draws, each from its own element.
    fn draws(n: u64, stream: u32, mut f: impl FnMut(&mut ElementStream) -> f64) -> Vec<f64> {
        let site = SiteKey::new(StepKey { seed: 11, step: 2 }, stream);
        (0..n).map(|i| f(&mut site.element((i % 97) as u32, i))).collect()
    }

    /// √n times the largest gap between the empirical and the true distribution function of a continuous variable; above
    /// 2.2 with probability 1e-4.
    fn kolmogorov(mut x: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
        x.sort_by(f64::total_cmp);
        let n = x.len() as f64;
        let gap = |(i, v): (usize, &f64)| {
            let f = cdf(*v);
            (f - i as f64 / n).max((i + 1) as f64 / n - f)
        };
        x.iter().enumerate().map(gap).fold(0.0, f64::max) * n.sqrt()
    }

    /// Probability of a larger chi-square than that of the counts, in cells of at least 20 expected.
    fn chi_square(x: &[f64], pmf: impl Fn(u64) -> f64, last: u64) -> f64 {
        let n = x.len() as f64;
        let (mut statistic, mut cells) = (0.0, 0.0);
        let (mut expected, mut observed, mut used) = (0.0, 0.0, 0.0);
        for k in 0..=last {
            expected += n * pmf(k);
            observed += x.iter().filter(|v| **v == k as f64).count() as f64;
            if expected >= 20.0 && n - used - expected >= 20.0 {
                statistic += (observed - expected).powi(2) / expected;
                (cells, used, expected, observed) = (cells + 1.0, used + expected, 0.0, 0.0);
            }
        }
        let rest = n - used;
        let observed = n - x.iter().filter(|v| **v <= last as f64).count() as f64 + observed;
        statistic += (observed - rest).powi(2) / rest;
        1.0 - ChiSquared::new(cells).expect("at least two cells").cdf(statistic)
    }

    #[test]
    fn logarithm_and_cosine_of_normals_agree_with_the_library() {
        let words = (0..200_000_u32).map(|i| i.wrapping_mul(21_474_837).wrapping_add(i));
        for word in words.chain([0, 1, 2, u32::MAX - 1, u32::MAX, 1 << 31, (1 << 31) - 1, 0xB504_F333]) {
            let u = open_unit(word);
            let (a, b) = (log_unit(u), u.ln());
            assert!((a - b).abs() <= 4.0 * f64::EPSILON * b.abs(), "log {u}: {a} {b}");
            let (a, b) = (cos_turns(u), (std::f64::consts::TAU * u).cos());
            assert!((a - b).abs() <= 1e-15, "cos 2π {u}: {a} {b}");
        }
    }

    #[test]
    fn uniform_normal_and_gamma_have_their_distribution_functions() {
        let statistic = kolmogorov(draws(20_000, 1, |w| w.uniform()), |x| x);
        assert!(statistic < 2.2, "uniform: {statistic}");
        let normal = Normal::new(0.0, 1.0).expect("valid");
        let statistic = kolmogorov(draws(20_000, 2, |w| w.normal()), |x| normal.cdf(x));
        assert!(statistic < 2.2, "normal: {statistic}");
        for (k, a) in [0.05, 0.5, 0.99, 1.0, 3.0, 50.0, 1e5].into_iter().enumerate() {
            let truth = Gamma::new(a, 1.0).expect("valid");
            let statistic = kolmogorov(draws(20_000, 10 + k as u32, |w| gamma(w, a)), |x| truth.cdf(x));
            assert!(statistic < 2.2, "gamma({a}): {statistic}");
        }
        for (k, a) in [1e-3, 0.01, 0.1, 0.7, 1.0, 2.5, 40.0, 1e3, 1e4].into_iter().enumerate() {
            // Below e⁻²⁰⁰, F = zᵃ/Γ(a+1) to all digits.
            let truth = Gamma::new(a, 1.0).expect("valid");
            let cdf = |w: f64| match w < -200.0 {
                true => (a * w - special::lgamma(a + 1.0)).exp(),
                false => truth.cdf(w.exp()),
            };
            let statistic = kolmogorov(draws(20_000, 80 + k as u32, |w| log_gamma(w, a)), cdf);
            assert!(statistic < 2.2, "log_gamma({a}): {statistic}");
        }
    }

    #[test]
    fn counts_have_their_masses() {
        for (k, rate) in [0.3, 5.0, 9.99, 10.01, 31.0, 700.0].into_iter().enumerate() {
            let truth = Poisson::new(rate).expect("valid");
            let x = draws(20_000, 30 + k as u32, |w| poisson(w, rate));
            let last = (rate + 10.0 * rate.sqrt() + 10.0) as u64;
            let p = chi_square(&x, |k| truth.pmf(k), last);
            assert!(p > 1e-4, "poisson({rate}): {p}");
        }
        for (k, (n, p)) in [(5, 0.3), (30, 0.5), (31, 0.5), (200, 0.03), (1000, 0.9)].into_iter().enumerate()
        {
            let truth = Binomial::new(p, n).expect("valid");
            let x = draws(20_000, 50 + k as u32, |w| binomial(w, n as f64, p));
            let p_value = chi_square(&x, |k| truth.pmf(k), n);
            assert!(p_value > 1e-4, "binomial({n}, {p}): {p_value}");
        }
    }

    /// Large counts by their first two moments, within five standard errors.
    #[test]
    fn large_counts_have_their_moments() {
        let n = 20_000.0;
        let check = |x: Vec<f64>, mean: f64, var: f64, what: &str| {
            let average = x.iter().sum::<f64>() / n;
            let spread = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            assert!((average - mean).abs() < 5.0 * (var / n).sqrt(), "{what}: mean {average}");
            assert!((spread / var - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{what}: variance {spread}");
        };
        check(draws(20_000, 70, |w| poisson(w, 1e8)), 1e8, 1e8, "poisson(1e8)");
        check(draws(20_000, 71, |w| binomial(w, 1e9, 1e-3)), 1e6, 1e6 * (1.0 - 1e-3), "binomial(1e9, 1e-3)");
        check(draws(20_000, 72, |w| gamma(w, 1e8)), 1e8, 1e8, "gamma(1e8)");
    }

    #[test]
    fn multinomial_counts_sum_and_have_binomial_parts() {
        let weights = [0.5, 0.0, 2.0, 1.5, 0.0];
        let site = SiteKey::new(StepKey { seed: 5, step: 0 }, 3);
        let rows: Vec<Vec<f64>> =
            (0..20_000).map(|i| multinomial(&mut site.element(0, i), 12.0, &weights)).collect();
        for (k, w) in weights.iter().enumerate() {
            let x: Vec<f64> = rows.iter().map(|r| r[k]).collect();
            if *w == 0.0 {
                assert!(x.iter().all(|v| *v == 0.0), "a part of weight zero");
            } else {
                let truth = Binomial::new(w / 4.0, 12).expect("valid");
                let p = chi_square(&x, |j| truth.pmf(j), 12);
                assert!(p > 1e-4, "part {k}: {p}");
            }
        }
        assert!(rows.iter().all(|r| r.iter().sum::<f64>() == 12.0));
    }

    /// Both ends are inside the open interval, in single precision too.
    #[test]
    fn uniforms_are_inside_the_unit_interval_in_single_precision() {
        for word in [0, 1, u32::MAX - 1, u32::MAX] {
            let u = open_unit(word) as f32;
            assert!(u > 0.0 && u < 1.0, "{word}: {u}");
        }
        assert_eq!(open_unit(u32::MAX) as f32, 1.0 - f32::EPSILON / 2.0);
    }

    #[test]
    fn a_log_gamma_is_the_logarithm_of_the_gamma() {
        for (k, a) in [0.4, 1.0, 12.0].into_iter().enumerate() {
            let plain = draws(100, 90 + k as u32, |w| gamma(w, a));
            let logs = draws(100, 90 + k as u32, |w| log_gamma(w, a));
            assert!(plain.iter().zip(&logs).all(|(z, w)| (z.ln() - w).abs() < 1e-13), "{a}");
        }
    }

    #[test]
    fn parameters_outside_their_support_give_nan() {
        let mut w = SiteKey::new(StepKey::default(), 0).element(0, 0);
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(gamma(&mut w, bad).is_nan() && log_gamma(&mut w, bad).is_nan());
            assert!(poisson(&mut w, bad).is_nan());
            assert!(binomial(&mut w, bad, 0.5).is_nan() && binomial(&mut w, 3.0, bad).is_nan());
        }
        assert!(gamma(&mut w, 0.0).is_nan() && binomial(&mut w, 2.5, 0.5).is_nan());
        assert_eq!((poisson(&mut w, 0.0), binomial(&mut w, 0.0, 0.3)), (0.0, 0.0));
        assert_eq!((binomial(&mut w, 500.0, 1.0), binomial(&mut w, 500.0, 0.0)), (500.0, 0.0));
    }
}
