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

/// log Γ(a + x) − log Γ(a), zero at x = 0, for a > 0 and a + x > 0: a sum of logarithms for small whole x, else the
/// difference.
pub fn lgamma_delta(x: f64, a: f64) -> f64 {
    if x == 0.0 {
        0.0
    } else if x > 0.0 && x <= 64.0 && x.fract() == 0.0 {
        (0..x as u32).map(|k| (a + f64::from(k)).ln()).sum()
    } else {
        lgamma(a + x) - lgamma(a)
    }
}

/// ψ(a + x) − ψ(a), zero at x = 0: a sum of reciprocals for small whole x, else the difference.
pub fn digamma_delta(x: f64, a: f64) -> f64 {
    if x == 0.0 {
        0.0
    } else if x > 0.0 && x <= 64.0 && x.fract() == 0.0 {
        (0..x as u32).map(|k| 1.0 / (a + f64::from(k))).sum()
    } else {
        digamma(a + x) - digamma(a)
    }
}

/// dz/da of a Gamma(a, 1) draw z at fixed randomness: −(∂F(z; a)/∂a) / f(z; a), with F the distribution function and
/// f the density (Figurnov, Mohamed and Mnih, 2018). ∂F/∂a by the Kummer series of the lower incomplete gamma function.
pub fn gamma_sample_grad(z: f64, a: f64) -> f64 {
    if !(z > 0.0 && a > 0.0) {
        return if z == 0.0 { 0.0 } else { f64::NAN };
    }
    // F = z^a e^−z Σ_k z^k / Γ(a+k+1). With f = z^(a−1) e^−z / Γ(a):
    // F / f = z Σ_k t_k with t_k = z^k Γ(a) / Γ(a+k+1), and ∂F/∂a = f z Σ_k t_k (log z − ψ(a+k+1)).
    let mut t = 1.0 / a;
    let mut psi = digamma(a + 1.0);
    let log_z = z.ln();
    let mut sum = 0.0;
    let mut k = 0.0;
    loop {
        let term = t * (log_z - psi);
        sum += term;
        k += 1.0;
        psi += 1.0 / (a + k);
        t *= z / (a + k);
        if (t < 1e-17 * sum.abs() / (psi.abs() + 1.0) && k > z - a) || k > 1e6 {
            return -z * sum;
        }
    }
}
