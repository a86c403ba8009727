//! Special functions in double precision: the definitions that fast kernels are tested against.
//!
//! lgamma and erf come from `libm`; what it lacks is here, each with the source of its formula and its error.

/// 1/(1 + e⁻ˣ), without overflow.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// log(1 + eˣ) = max(x, 0) + log1p(e^−|x|), without overflow.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// log Γ(x) for x > 0.
pub fn lgamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// Error function.
pub fn erf(x: f64) -> f64 {
    libm::erf(x)
}

/// ψ(x) = d log Γ / dx for x > 0: recurrence up to 10, then the asymptotic series (Abramowitz and Stegun 6.3.18).
pub fn digamma(x: f64) -> f64 {
    if x <= 0.0 || x.is_nan() {
        return f64::NAN;
    }
    let mut shift = 0.0;
    let mut y = x;
    while y < 10.0 {
        shift += 1.0 / y;
        y += 1.0;
    }
    let r = 1.0 / (y * y);
    let series = r
        * (1.0 / 12.0
            - r * (1.0 / 120.0
                - r * (1.0 / 252.0
                    - r * (1.0 / 240.0 - r * (1.0 / 132.0 - r * (691.0 / 32760.0 - r / 12.0))))));
    y.ln() - 0.5 / y - series - shift
}

/// ψ′(x) for x > 0: recurrence up to 12, then the asymptotic series (Abramowitz and Stegun 6.4.12).
pub fn trigamma(x: f64) -> f64 {
    if x <= 0.0 || x.is_nan() {
        return f64::NAN;
    }
    let mut shift = 0.0;
    let mut y = x;
    while y < 12.0 {
        shift += 1.0 / (y * y);
        y += 1.0;
    }
    let r = 1.0 / (y * y);
    let series = r
        * (1.0 / 6.0
            - r * (1.0 / 30.0
                - r * (1.0 / 42.0
                    - r * (1.0 / 30.0 - r * (5.0 / 66.0 - r * (691.0 / 2730.0 - r * 7.0 / 6.0))))));
    shift + 1.0 / y + 0.5 * r + series / y
}

/// log Γ(a + x) − log Γ(a), zero at x = 0, for a > 0 and a + x > 0: a sum of logarithms for small whole x, else by
/// recurrence up to arguments of at least 10 and the difference of the two Stirling series (Abramowitz and Stegun
/// 6.1.40), in which the large terms are combined beforehand. Error below 1e-13 of max(1, |x| · max(1, log(a + |x|))).
pub fn lgamma_delta(x: f64, a: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    if x > 0.0 && x <= 16.0 && x.fract() == 0.0 {
        return (0..x as u32).map(|k| (a + f64::from(k)).ln()).sum();
    }
    if !(a > 0.0 && a + x > 0.0) || x.is_infinite() || a.is_infinite() {
        return lgamma(a + x) - lgamma(a);
    }
    let (mut shift, mut a) = (0.0, a);
    while a.min(a + x) < 10.0 {
        // Both fall by one factor: log((a + x)/a).
        shift += if x > 0.0 { (x / a).ln_1p() } else { ((a + x) / a).ln() };
        a += 1.0;
    }
    // (a + x − ½) log(a + x) − (a − ½) log a − x, without the terms a log a that cancel.
    let (growth, end) = ((x / a).ln_1p(), a + x);
    (a - 0.5) * growth + x * (end.ln() - 1.0) + stirling_rest(end) - stirling_rest(a) - shift
}

/// 1/(12x) − 1/(360x³) + …: what Stirling's formula leaves of log Γ(x), for x ≥ 10.
fn stirling_rest(x: f64) -> f64 {
    let r = 1.0 / (x * x);
    (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r * (1.0 / 1188.0))))) / x
}

/// ψ(a + x) − ψ(a), zero at x = 0, for a > 0 and a + x > 0: a sum of reciprocals for small whole x, else by recurrence
/// up to arguments of at least 10 and the difference of the two asymptotic series, of which the leading terms are
/// combined. Relative error below 1e-13 for x ≥ 1.
pub fn digamma_delta(x: f64, a: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    if x > 0.0 && x <= 16.0 && x.fract() == 0.0 {
        return (0..x as u32).map(|k| 1.0 / (a + f64::from(k))).sum();
    }
    if !(a > 0.0 && a + x > 0.0) || x.is_infinite() || a.is_infinite() {
        return digamma(a + x) - digamma(a);
    }
    let (mut shift, mut a) = (0.0, a);
    while a.min(a + x) < 10.0 {
        shift += x / (a * (a + x));
        a += 1.0;
    }
    let end = a + x;
    // log(end/a) − ½(1/end − 1/a) − (1/end² − 1/a²)/12 + smaller terms.
    let leading = (x / a).ln_1p() + x / (2.0 * a * end) + x * (a + end) / (12.0 * a * a * end * end);
    leading + digamma_rest(end) - digamma_rest(a) + shift
}

/// ψ(x) − log x + 1/(2x) + 1/(12x²), for x ≥ 10.
fn digamma_rest(x: f64) -> f64 {
    let r = 1.0 / (x * x);
    r * r * (1.0 / 120.0 - r * (1.0 / 252.0 - r * (1.0 / 240.0 - r * (1.0 / 132.0 - r * (691.0 / 32760.0)))))
}

/// dw/da of w = log z at fixed randomness, with z a Gamma(a, 1) draw: −(∂F(z; a)/∂a) / (z f(z; a)), with F the
/// distribution function and f the density of z (Figurnov, Mohamed and Mnih, 2018). Three ranges, each differentiated
/// exactly: the Kummer series of F below the mean, the continued fraction of 1 − F above it, and from a = 1e6 the
/// Wilson–Hilferty cube-root normal. Works on the logarithm, so that draws of small concentrations, which are below
/// the smallest number, have their slope. Relative error below 1e-9, and 1e-7 in the last range; NaN unless a > 0.
pub fn log_gamma_sample_grad(w: f64, a: f64) -> f64 {
    if !(a > 0.0 && a.is_finite() && w < f64::INFINITY) {
        return f64::NAN;
    }
    if a >= 1e6 {
        // z = a c³ with c = 1 − 1/(9a) + u/(3√a) at fixed normal u, so that dc/da = 1/(9a²) − u/(6 a√a).
        let c = ((w - a.ln()) / 3.0).exp();
        let u_term = c - 1.0 + 1.0 / (9.0 * a);
        let slope = (1.0 / (9.0 * a) - 0.5 * u_term) / a;
        return 1.0 / a + 3.0 * slope / c;
    }
    if w < (a + 1.0).ln() { log_grad_by_series(w, a) } else { log_grad_by_fraction(w, a) }
}

/// With F = zᵃ e⁻ᶻ Σₖ zᵏ / Γ(a+k+1) and f = z^(a−1) e⁻ᶻ / Γ(a): F / f = z Σₖ tₖ with tₖ = zᵏ Γ(a) / Γ(a+k+1), and
/// ∂F/∂a = f z Σₖ tₖ (log z − ψ(a+k+1)).
fn log_grad_by_series(log_z: f64, a: f64) -> f64 {
    let (mut t, mut psi, z) = (1.0 / a, digamma(a + 1.0), log_z.exp());
    let (mut sum, mut k) = (0.0_f64, 0.0);
    loop {
        sum += t * (log_z - psi);
        k += 1.0;
        psi += 1.0 / (a + k);
        t *= z / (a + k);
        if t * (psi.abs() + log_z.abs() + 1.0) < 1e-17 * sum.abs() || k > 1e6 {
            return -sum;
        }
    }
}

/// With 1 − F = f z C and C the continued fraction 1/(z+1−a − 1(1−a)/(z+3−a − 2(2−a)/(z+5−a − …))): the derivative of log z
/// is C (log z − ψ(a)) + ∂C/∂a. Modified Lentz evaluation (Numerical Recipes, 6.2), carried with its derivative.
fn log_grad_by_fraction(log_z: f64, a: f64) -> f64 {
    let z = log_z.exp();
    let mut b = z + 1.0 - a;
    // Values and derivatives in a of b, of the ratio c, of the ratio d and of the product h.
    let (mut c, mut dc) = (f64::INFINITY, 0.0);
    let mut d = 1.0 / b;
    let mut dd = d * d;
    let (mut h, mut dh) = (d, dd);
    let mut k = 1.0;
    loop {
        let (n, dn) = (-k * (k - a), k);
        b += 2.0;
        let denominator = n * d + b;
        let slope = dn * d + n * dd - 1.0;
        d = 1.0 / denominator;
        dd = -slope * d * d;
        dc = if c.is_infinite() { -1.0 } else { dn / c - n * dc / (c * c) - 1.0 };
        c = b + n / c;
        let (step, dstep) = (c * d, dc * d + c * dd);
        dh = dh * step + h * dstep;
        h *= step;
        k += 1.0;
        if ((step - 1.0).abs() < 1e-15 && (h * dstep).abs() < 1e-15 * dh.abs()) || k > 1e6 {
            return h * (log_z - digamma(a)) + dh;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(ours: f64, truth: f64, tolerance: f64, what: &str) {
        let err = (ours - truth).abs() / truth.abs();
        assert!(err < tolerance, "{what}: {ours} for {truth}, relative error {err}");
    }

    /// Known values: ψ(1) = −γ, ψ(½) = −γ − 2 log 2, ψ′(1) = π²/6, ψ′(½) = π²/2.
    #[test]
    fn polygamma_at_known_points() {
        const EULER: f64 = 0.577_215_664_901_532_9;
        close(digamma(1.0), -EULER, 1e-14, "ψ(1)");
        close(digamma(0.5), -EULER - 2.0 * std::f64::consts::LN_2, 1e-14, "ψ(½)");
        close(digamma(1e8), 18.420_680_738_952_367, 1e-14, "ψ(1e8)");
        close(trigamma(1.0), std::f64::consts::PI.powi(2) / 6.0, 1e-14, "ψ′(1)");
        close(trigamma(0.5), std::f64::consts::PI.powi(2) / 2.0, 1e-14, "ψ′(½)");
        for x in [1e-6, 0.02, 0.7, 1.3, 3.9, 9.99, 10.01, 55.0, 1e5] {
            close(digamma(x), statrs::function::gamma::digamma(x), 1e-10, "ψ against statrs");
            close(
                trigamma(x + 1.0),
                trigamma(x) - 1.0 / (x * x),
                if x < 0.1 { 1e-3 } else { 1e-12 },
                "ψ′(x+1)",
            );
        }
    }

    /// Sums of logarithms and of reciprocals are the definition for whole x, in either direction.
    #[test]
    fn deltas_equal_their_sums() {
        for a in [1e-3, 0.3, 1.0, 1.4616, 7.5, 40.0, 1e4, 1e8] {
            for x in [17.0_f64, 40.0, 64.0, 65.0, 1000.0, 20_000.0] {
                let logs: f64 = (0..x as u32).map(|k| (a + f64::from(k)).ln()).sum();
                let reciprocals: f64 = (0..x as u32).map(|k| 1.0 / (a + f64::from(k))).sum();
                let scale = x * (a + x).ln().max(1.0);
                assert!((lgamma_delta(x, a) - logs).abs() < 1e-13 * scale, "{a} {x}");
                assert!((lgamma_delta(-x, a + x) + logs).abs() < 1e-13 * scale, "{a} {x} back");
                close(digamma_delta(x, a), reciprocals, 1e-13, "digamma delta");
                // (a + x) − x has few correct digits where a is small.
                if a >= 0.3 {
                    close(-digamma_delta(-x, a + x), reciprocals, 1e-10, "digamma delta, back");
                }
            }
            for x in [0.3, 2.7, 31.5] {
                let plain = lgamma(a + x) - lgamma(a);
                let scale = lgamma(a + x).abs() + lgamma(a).abs() + 1.0;
                assert!((lgamma_delta(x, a) - plain).abs() < 1e-13 * scale, "{a} {x}");
                let plain = digamma(a + x) - digamma(a);
                assert!((digamma_delta(x, a) - plain).abs() < 1e-13 * (1.0 + plain.abs()), "{a} {x}");
            }
        }
    }

    /// At a = 1 the draw is exponential and z = −log(1 − F): −∂F/∂a there, from 40-digit arithmetic at the quantiles
    /// 1e-3, ½ and 1 − 1e-4 (`exact.grad` of the fixture group `implicit.gamma`).
    #[test]
    fn gamma_gradient_at_known_points() {
        let slope = |z: f64| z * log_gamma_sample_grad(z.ln(), 1.0);
        close(slope(std::f64::consts::LN_2), 0.968_044_830_4, 1e-9, "median");
        close(slope(9.210_340_371_976_182), 2.896_294_012, 1e-9, "upper tail");
    }

    /// Where a draw is far below the smallest number, F = zᵃ/Γ(a+1) to all digits, so that log z = (log F + log Γ(a+1))/a
    /// and its slope is (ψ(a+1) − log z)/a.
    #[test]
    fn gamma_gradient_of_vanishing_draws() {
        for a in [1e-6, 1e-3, 0.02] {
            for w in [-800.0, -5e3, -1e5] {
                close(log_gamma_sample_grad(w, a), (digamma(a + 1.0) - w) / a, 1e-14, "vanishing draw");
            }
        }
    }

    /// The three ranges meet, and far tails are finite and monotone.
    #[test]
    fn gamma_gradient_ranges_agree() {
        for a in [0.05, 0.7, 3.0, 50.0, 2e4] {
            let w = (a + 1.0_f64).ln();
            close(log_grad_by_series(w, a), log_grad_by_fraction(w, a), 1e-10, "series and fraction");
        }
        for u in [-4.0, -1.0, 0.0, 0.5, 3.0, 5.0] {
            let a: f64 = 1e6;
            let z = a + u * a.sqrt();
            let w = z.ln();
            let exact = if z < a + 1.0 { log_grad_by_series(w, a) } else { log_grad_by_fraction(w, a) };
            close(log_gamma_sample_grad(w, a), exact, 1e-7, "cube-root normal");
        }
        let slope = |z: f64| z * log_gamma_sample_grad(z.ln(), 2.0);
        let tail: Vec<f64> = (1..40).map(|k| slope(20.0 * f64::from(k))).collect();
        assert!(tail.windows(2).all(|w| w[0] < w[1] && w[1] < 10.0), "{tail:?}");
    }

    /// Quantile of log z at lower tail probability `p` (or upper, where that is the smaller), by bisection on the
    /// distribution function of another library.
    fn log_quantile(p: f64, upper: bool, a: f64) -> f64 {
        use statrs::function::gamma::{gamma_lr, gamma_ur, ln_gamma};
        // Below e⁻²⁰⁰, F = zᵃ/Γ(a+1) to all digits.
        let log_f = if upper { (-p).ln_1p() } else { p.ln() };
        let vanishing = (log_f + ln_gamma(a + 1.0)) / a;
        if vanishing < -200.0 {
            return vanishing;
        }
        let (mut low, mut high) = (-210.0_f64, (a + 40.0 * a.sqrt() + 60.0).ln());
        for _ in 0..200 {
            let mid = 0.5 * (low + high);
            let z = mid.exp();
            let is_below = if upper { gamma_ur(a, z) > p } else { gamma_lr(a, z) < p };
            if is_below { low = mid } else { high = mid }
        }
        0.5 * (low + high)
    }

    /// Against central differences (of fourth order) of the quantile function: a reparameterised draw moves along a
    /// quantile.
    #[test]
    fn gamma_gradient_is_the_slope_of_quantiles() {
        let mut n = 0;
        for a in [1e-3, 3e-3, 0.01, 0.05, 0.3, 0.9, 1.0, 1.7, 5.0, 30.0, 200.0, 1e3, 1e4] {
            for (p, upper) in [
                (1e-6, false),
                (0.01, false),
                (0.3, false),
                (0.5, true),
                (0.1, true),
                (1e-3, true),
                (1e-8, true),
            ] {
                let h = 1e-3 * a;
                let rise = |h: f64| log_quantile(p, upper, a + h) - log_quantile(p, upper, a - h);
                let quotient = (8.0 * rise(h) - rise(2.0 * h)) / (12.0 * h);
                let slope = log_gamma_sample_grad(log_quantile(p, upper, a), a);
                let err = (slope - quotient).abs() / slope.abs();
                assert!(err < 1e-9, "a = {a}, p = {p}, upper {upper}: {slope}, quotient {quotient}, {err:e}");
                n += 1;
            }
        }
        assert_eq!(n, 13 * 7);
    }
}
