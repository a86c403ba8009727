//! Bijections: round trips, and log-Jacobians against derivatives of the maps.

use crate::bench::{Bench, assert_close};
use distributions::Support;
use distributions::transform::Bijection;

const X: [f64; 6] = [-30.0, -2.0, -0.1, 0.0, 1.7, 12.0];

#[test]
fn elementwise_maps() {
    for support in [Support::Real, Support::Positive, Support::Nonneg, Support::Unit] {
        let map = Bijection::onto(support, None).expect("a map");
        let mut b = Bench::new(X.len(), 1, 1);
        let x = b.scalar(&X);
        let y = map.forward(&mut b.g, x);
        let back = map.inverse(&mut b.g, y);
        let log_jacobian = map.log_jacobian(&mut b.g, x);
        let axes = b.g.axes_of(x).clone();
        let log_jacobian = b.g.broadcast(log_jacobian, &axes);
        let slope = b.gradients(y, &[x]);
        let out = b.run(&[back, log_jacobian, slope[0]]);
        for i in 0..X.len() {
            assert_close(out[0][i], X[i], 1e-10, "round trip");
            assert_close(out[1][i], out[2][i].ln(), 1e-9, "log-Jacobian");
        }
        assert!(map.free_log_prob(&mut b.g, x).is_none());
    }
}

#[test]
fn discrete_supports_have_none() {
    let mut b = Bench::new(1, 3, 1);
    let event = Some(b.event);
    for support in [Support::Bool, Support::Count, Support::Category] {
        assert_eq!(Bijection::onto(support, event), None);
    }
    assert_eq!(Bijection::onto(Support::Simplex, None), None);
    let x = b.vector(&[0.0, 1.0, 2.0]);
    assert!(Bijection::onto(Support::Simplex, event).and_then(|m| m.free_log_prob(&mut b.g, x)).is_some());
}

/// The determinant of d(y₁, y₂, log Σ exp x)/dx for three parts, and the inverse with log Σ exp x = 0.
#[test]
fn softmax_with_its_free_coordinate() {
    let mut b = Bench::new(1, 3, 1);
    let map = Bijection::Softmax(b.event);
    let x = b.vector(&[0.3, -1.2, 2.0]);
    let y = map.forward(&mut b.g, x);
    let log_jacobian = map.log_jacobian(&mut b.g, x);
    let event = b.event;
    let s = b.g.logsumexp(x, event);
    let mut rows = vec![];
    for k in 0..2 {
        let pick = b.input(b.event, (0..3).map(|j| f64::from(u8::from(j == k))).collect());
        let part = b.g.mul(y, pick);
        rows.extend(b.gradients(part, &[x]));
    }
    rows.extend(b.gradients(s, &[x]));
    let inverse = map.inverse(&mut b.g, y);
    let again = map.forward(&mut b.g, inverse);
    let out = b.run(&[rows, vec![log_jacobian, y, again]].concat());
    let (p, q, r) = (&out[0], &out[1], &out[2]);
    let det = p[0] * (q[1] * r[2] - q[2] * r[1]) - p[1] * (q[0] * r[2] - q[2] * r[0])
        + p[2] * (q[0] * r[1] - q[1] * r[0]);
    assert_close(out[3][0], det.abs().ln(), 1e-12, "log-determinant");
    out[4].iter().zip(&out[5]).for_each(|(y, again)| assert_close(*again, *y, 1e-14, "round trip"));
}
