//! How a stored Dirichlet draw moves with its concentration.
//!
//! With the others fixed, a draw p moves with concentration α_i as G_i (δ_ij − p_j), where G_i is the implicit derivative
//! of the Beta(α_i, Σα − α_i) that p_i follows, divided by 1 − p_i. Logarithms of Gammas that move by G_i / p_i each have
//! a softmax that moves so.

use autodiff_runtime::special::lgamma;

/// The regularised incomplete Beta function below the mean of Beta(a, b), by its continued fraction (Lentz).
fn lower(a: f64, b: f64, x: f64, log_rest: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let at_least = |x: f64| if x.abs() < TINY { TINY } else { x };
    let (mut c, mut d) = (1.0, 1.0 / at_least(1.0 - (a + b) * x / (a + 1.0)));
    let mut h = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for t in [even, odd] {
            d = 1.0 / at_least(1.0 + t * d);
            c = at_least(1.0 + t / c);
            step = c * d;
            h *= step;
        }
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    let log_beta = lgamma(a) + lgamma(b) - lgamma(a + b);
    (a * x.ln() + b * log_rest - log_beta).exp() * h / a
}

/// dx/da of a Beta(a, b) draw with a fixed distribution function.
fn beta_slope(a: f64, b: f64, x: f64) -> f64 {
    let log_rest = (-x).ln_1p();
    let below = x < (a + 1.0) / (a + b + 2.0);
    // The smaller tail, so that its change keeps its digits.
    let tail = |a: f64| if below { lower(a, b, x, log_rest) } else { -lower(b, a, 1.0 - x, x.ln()) };
    let h = 1e-4 * a;
    let change = (8.0 * (tail(a + h) - tail(a - h)) - (tail(a + 2.0 * h) - tail(a - 2.0 * h))) / (12.0 * h);
    let log_density = (a - 1.0) * x.ln() + (b - 1.0) * log_rest - (lgamma(a) + lgamma(b) - lgamma(a + b));
    -change / log_density.exp()
}

/// For draws and concentrations, both `[…, n]`, what to let the logarithm of each Gamma move by.
pub fn log_gamma_slopes(draws: &[f64], concentrations: &[f64], n: usize) -> Vec<f64> {
    let one = |(p, a): (&[f64], &[f64])| {
        let total: f64 = a.iter().sum();
        let each = |(p, a): (&f64, &f64)| {
            let p = p.clamp(1e-30, 1.0 - 1e-7);
            beta_slope(*a, total - a, p) / (1.0 - p) / p
        };
        p.iter().zip(a).map(each).collect::<Vec<f64>>()
    };
    draws.chunks(n).zip(concentrations.chunks(n)).flat_map(one).collect()
}

#[test]
fn slopes_are_those_of_closed_forms() {
    // Beta(a, 1) has x = u^(1/a), so dx/da = −x ln(x) / a; Beta(1, 1) at one half.
    for (a, x) in [(0.3_f64, 1e-6_f64), (0.3, 0.2), (2.0, 0.9), (1.0, 0.5), (5.0, 0.999)] {
        let expected = -x * x.ln() / a;
        assert!((beta_slope(a, 1.0, x) - expected).abs() < 1e-8 * expected.abs(), "{a} {x}");
    }
    // Beta(1, b) mirrors Beta(b, 1): the distribution function is 1 − (1 − x)^b at a = 1.
    let (a, b, x) = (1.7, 2.6, 0.4);
    let h = 1e-6;
    let f = |a: f64| lower(a, b, x, (1.0_f64 - x).ln());
    let density = (f64::ln(x) * (a - 1.0) + (b - 1.0) * (1.0_f64 - x).ln() - lgamma(a) - lgamma(b)
        + lgamma(a + b))
    .exp();
    let expected = -(f(a + h) - f(a - h)) / (2.0 * h) / density;
    assert!((beta_slope(a, b, x) - expected).abs() < 1e-6 * expected.abs());
}
