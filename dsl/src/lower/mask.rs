//! What holds only in places: missing values, sites that exist where a condition holds, weights of plates.

use super::Lowerer;
use crate::compiled::{FeedSpec, Purpose};
use crate::model::{Cond, ExprId, ExprKind, FieldNo, SiteNo};
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{Axes, Elem, NodeId, ReduceKind};

impl Lowerer<'_> {
    /// 1 where the value of a field is known and 0 where it is missing, on the field's axes; none if all are known: the
    /// field cannot miss, is absent, is held by `given`, or is being drawn. A partly observed site is drawn, or summed
    /// over its values, where this is 0.
    pub(super) fn known(&mut self, f: FieldNo) -> Option<NodeId> {
        let decl = &self.m.fields[f];
        if !decl.ty.may_miss || self.request.purpose == Purpose::Simulation {
            return None;
        }
        let name = decl.slot.name.clone();
        let home = self.home_of_field(f);
        let held = self.fields_held.contains(&f) || (home != 0 && !self.contexts[home].labelled);
        if !self.bound.present.contains(&name) || held {
            return None;
        }
        let axes = self.axes_of(decl.ty.axes.iter().copied());
        Some(self.input(&format!("known {name}"), FeedSpec::Known(name), axes, Dtype::Real, false))
    }

    /// As [`Lowerer::known`], of an indexed field.
    fn known_part(&mut self, part: ExprId) -> Option<NodeId> {
        match self.m.expr(part).kind {
            ExprKind::Field(f) => self.known(f),
            // Whether a field is above zero.
            ExprKind::Elem(_, ref args) => {
                let args = args.clone();
                args.into_iter().find_map(|a| self.known_part(a))
            }
            ExprKind::Index { base, index, axis } => {
                let known = self.known_part(base)?;
                Some(self.index_of(known, index, self.axis(axis)))
            }
            _ => None,
        }
    }

    /// 1 where a site has a term: its conditions hold and, if it is observed, its value is known. None if it has one
    /// everywhere. Its axes are some of the site's without the event axis: a vector with a missing element has no term.
    pub(super) fn exists(&mut self, s: SiteNo) -> Option<NodeId> {
        let site = &self.m.sites[s];
        // A partly observed site has its term everywhere: elsewhere it is inferred.
        let observed = site.observed.filter(|_| site.treat.is_none());
        let (conds, part) = ([site.cond, site.guide_cond], site.part);
        let event = site.prior.event;
        let mut parts: Vec<NodeId> = vec![];
        for cond in conds.into_iter().flatten() {
            parts.push(self.expr(cond.holds));
        }
        let known = match (observed, part) {
            (Some(_), Some(part)) => self.known_part(part),
            (Some(f), None) => self.known(f),
            (None, _) => None,
        };
        parts.extend(known);
        let mut all = parts.pop()?;
        for p in parts {
            all = self.g.binary(Elem::And, all, p);
        }
        if let Some(e) = event.map(|a| self.axis(a)).filter(|e| self.g.axes_of(all).contains(*e)) {
            all = self.g.reduce(ReduceKind::Min, all, Axes::from(e));
        }
        Some(all)
    }

    /// A term of a site over all axes that its elements have: 0 where the site does not exist. Of elements that share
    /// one term all must exist.
    pub(super) fn where_present(&mut self, s: SiteNo, value: NodeId) -> NodeId {
        match self.exists(s) {
            Some(exists) => {
                let lost = self.g.axes_of(exists).minus(self.g.axes_of(value));
                let exists =
                    if lost.is_empty() { exists } else { self.g.reduce(ReduceKind::Min, exists, lost) };
                let zero = self.g.constant(0.0);
                self.g.push(autodiff_runtime::Op::Elem(Elem::Select, vec![exists, value, zero]))
            }
            None => value,
        }
    }

    /// A term of a site over its plates, times their weights.
    pub(super) fn plate_weighted(&mut self, s: SiteNo, value: NodeId) -> NodeId {
        match self.m.sites[s].weight {
            Some(w) => {
                let w = self.expr(w);
                self.g.mul(value, w)
            }
            None => value,
        }
    }

    /// What a site has for others to read: `value` where it exists, else what the source says.
    pub(super) fn settled(&mut self, s: SiteNo, value: NodeId) -> NodeId {
        let site = &self.m.sites[s];
        let simulated = self.request.purpose == Purpose::Simulation;
        let conds = [site.guide_cond.filter(|_| !simulated), site.cond];
        let mut value = value;
        for Cond { holds, otherwise } in conds.into_iter().flatten() {
            let Some(otherwise) = otherwise else { continue };
            let (holds, otherwise) = (self.expr(holds), self.expr(otherwise));
            value = self.g.push(autodiff_runtime::Op::Elem(Elem::Select, vec![holds, value, otherwise]));
        }
        value
    }
}
