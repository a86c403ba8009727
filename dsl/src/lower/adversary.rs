//! Adversaries: the model hides labels from a net that tells them.
//!
//! The model minimises κ · the cross-entropy of the net's scores with every label but the true one, equally; no gradient
//! reaches the net there. The net minimises κ · its cross-entropy with the true label; no gradient reaches the model
//! there. So one scalar, the sum of both, gives each player its own gradient, at the parameters before the step.

use super::{FieldValue, Lowerer};
use crate::model::{Contest, ExprKind, Target};
use autodiff_runtime::{Axes, Elem, NodeId, ReduceKind};

/// What each side minimises, summed over elements, and the number of elements.
struct Scores {
    fool: NodeId,
    tell: NodeId,
    n: NodeId,
}

impl Lowerer<'_> {
    /// What the model and what the nets minimise beside the bound, scaled as it is; none without adversaries.
    pub(super) fn adversaries(&mut self) -> Option<(NodeId, NodeId)> {
        let mut total: Option<(NodeId, NodeId)> = None;
        for a in &self.m.adversaries {
            // A single label has nothing to tell.
            let scores: Vec<Scores> = a.contests.iter().filter_map(|c| self.contest(c)).collect();
            let mut scores = scores.into_iter();
            let Some(mut all) = scores.next() else { continue };
            for s in scores {
                all.fool = self.g.add(all.fool, s.fool);
                all.tell = self.g.add(all.tell, s.tell);
                all.n = self.g.add(all.n, s.n);
            }
            let strength = a.strength.map(|s| self.expr(s));
            self.at(a.span);
            let scale = if self.m.train.reduce_total { self.bound.n_rows.max(1) as f64 } else { 1.0 };
            let [fool, tell] = [all.fool, all.tell].map(|x| {
                let mean = self.g.div(x, all.n);
                let mean = self.g.mul_const(mean, scale);
                strength.map_or(mean, |s| self.g.mul(mean, s))
            });
            total = Some(match total {
                Some((f, t)) => (self.g.add(f, fool), self.g.add(t, tell)),
                None => (fool, tell),
            });
        }
        total
    }

    fn contest(&mut self, c: &Contest) -> Option<Scores> {
        let axis = self.axis(c.axis);
        let n_labels = self.g.size(axis);
        if n_labels < 2 {
            return None;
        }
        // What is seen is the model's: only the net's own parameters are held in the first game.
        self.expr(c.seen);
        self.hold_parameters = true;
        let fooled = self.expr(c.fool);
        self.hold_parameters = false;
        let told = self.expr(c.tell);
        let (truth, known) = match c.target {
            Target::Place(i) => (self.one_hot(i, axis), None),
            Target::Label(label) => match self.m.expr(label).kind {
                ExprKind::Field(f) => match self.field(f) {
                    FieldValue::Node(codes) => {
                        let places = self.g.iota(axis);
                        (self.g.binary(Elem::Eq, codes, places), self.known(f))
                    }
                    FieldValue::Code(code) => (self.one_hot(code, axis), None),
                    FieldValue::Soft(weights) => (weights, None),
                    // Every label at once is nothing to tell apart.
                    FieldValue::All(_) | FieldValue::Single => return None,
                },
                _ => return None,
            },
        };
        let others = {
            let minus = self.g.neg(truth);
            let rest = self.g.add_const(minus, 1.0);
            self.g.mul_const(rest, 1.0 / (n_labels as f64 - 1.0))
        };
        let [fool, tell] = [(fooled, others), (told, truth)].map(|(logits, target)| {
            let norm = self.g.reduce(ReduceKind::LogSumExp, logits, Axes::from(axis));
            let log_p = self.g.sub(logits, norm);
            let hit = self.g.contract(log_p, target, axis);
            self.g.neg(hit)
        });
        let one = self.g.constant(1.0);
        let counted = known.unwrap_or(one);
        let full = self.g.axes_of(fool).union(self.g.axes_of(tell));
        let counted = self.g.broadcast(counted, &full);
        let [fool, tell] = [fool, tell].map(|x| {
            let x = self.g.mul(x, counted);
            self.g.sum(x, full.clone())
        });
        let n = self.g.sum(counted, full);
        let n = self.g.binary(Elem::Max, n, one);
        Some(Scores { fool, tell, n })
    }
}
