//! Interventions: expressions evaluated once more with some sites or fields held, or drawn afresh.
//!
//! Only what depends on them is computed anew; the rest is shared with the graph around it.

use super::{FieldValue, Lowerer};
use crate::derive::drawn_from;
use crate::model::{ExprId, ExprKind, FieldNo, Held, SiteNo};
use autodiff_runtime::{Axes, AxisId, NodeId};
use std::collections::BTreeSet;

/// What differs under an intervention.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// The context around it; 0 is the graph itself.
    parent: usize,
    /// Whether each expression depends on what is held.
    exprs: Vec<bool>,
    sites: BTreeSet<SiteNo>,
    fields: BTreeSet<FieldNo>,
    /// Sites held at a value.
    pub(super) held: BTreeSet<SiteNo>,
    /// Sites drawn several times, along an axis.
    pub(super) draws: Option<(BTreeSet<SiteNo>, AxisId)>,
    /// The minibatch is that of labelled rows.
    pub(super) labelled: bool,
}

impl Lowerer<'_> {
    /// The context that an expression belongs to.
    pub(super) fn home(&self, id: ExprId) -> usize {
        self.innermost(|c| c.exprs[id.0 as usize])
    }

    pub(super) fn home_of_site(&self, s: SiteNo) -> usize {
        self.innermost(|c| c.sites.contains(&s))
    }

    pub(super) fn home_of_field(&self, f: FieldNo) -> usize {
        self.innermost(|c| c.fields.contains(&f))
    }

    fn innermost(&self, holds: impl Fn(&Context) -> bool) -> usize {
        let mut at = self.here;
        while at != 0 && !holds(&self.contexts[at]) {
            at = self.contexts[at].parent;
        }
        at
    }

    /// Evaluates with sites and fields held at values.
    pub(super) fn holding<T>(&mut self, held: &[(Held, NodeId)], f: impl FnOnce(&mut Self) -> T) -> T {
        let sites: BTreeSet<SiteNo> =
            held.iter().filter_map(|h| if let Held::Site(s) = h.0 { Some(s) } else { None }).collect();
        let fields =
            held.iter().filter_map(|h| if let Held::Field(f) = h.0 { Some(f) } else { None }).collect();
        let context = self.open(Context { held: sites.clone(), sites, fields, ..Context::default() });
        for (what, node) in held {
            match *what {
                Held::Site(s) => {
                    let axes = self.site_axes(s).union(self.g.axes_of(*node));
                    let node = self.g.broadcast(*node, &axes);
                    self.samples.insert((context, s), node.into());
                }
                Held::Field(f) => drop(self.fields.insert((context, f), FieldValue::Node(*node))),
            }
        }
        self.inside(context, f)
    }

    /// Evaluates with `n` draws of the sites, along an axis of their own, and averages over these draws.
    pub(super) fn averaging(
        &mut self,
        sites: BTreeSet<SiteNo>,
        n: usize,
        f: impl FnOnce(&mut Self) -> NodeId,
    ) -> NodeId {
        let axis = self.g.add_axis("draw", n);
        self.draw_axes.push(axis);
        self.drawing(sites, axis, |l| {
            let x = f(l);
            l.mean_along(x, axis)
        })
    }

    /// Evaluates with a draw of the sites for each place of an axis.
    pub(super) fn drawing<T>(
        &mut self,
        sites: BTreeSet<SiteNo>,
        axis: AxisId,
        f: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let draws = Some((sites.clone(), axis));
        let context = self.open(Context { sites, draws, ..Context::default() });
        self.inside(context, f)
    }

    /// Evaluates for the minibatch of labelled rows, once for all that asks for it here.
    pub(super) fn of_labelled<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let before = (0..self.contexts.len())
            .find(|c| self.contexts[*c].labelled && self.contexts[*c].parent == self.here);
        let context = before.unwrap_or_else(|| {
            let plate = self.m.plate;
            let of_rows = |axes: &crate::model::AxisSet| plate.is_some_and(|p| axes.contains(&p));
            let fields = (0..self.m.fields.len()).filter(|f| of_rows(&self.m.fields[*f].ty.axes)).collect();
            let here = |s: &SiteNo| plate.is_some_and(|p| self.m.sites[*s].plates.contains(&p));
            let sites = (0..self.m.sites.len()).filter(here).collect();
            self.open(Context { sites, fields, labelled: true, ..Context::default() })
        });
        self.inside(context, f)
    }

    /// Whether what is read here is of the minibatch of labelled rows.
    pub(super) fn reads_labelled(&self) -> bool {
        let mut at = self.here;
        while at != 0 && !self.contexts[at].labelled {
            at = self.contexts[at].parent;
        }
        at != 0
    }

    /// The axes along which a site is drawn several times: those of the contexts around its own too.
    pub(super) fn draws_of(&self, s: SiteNo) -> Axes {
        let mut at = self.home_of_site(s);
        let mut axes = Axes::none();
        loop {
            let context = &self.contexts[at];
            if let Some((_, axis)) = context.draws.as_ref().filter(|d| d.0.contains(&s)) {
                axes = axes.with(*axis);
            }
            if at == 0 {
                return axes;
            }
            at = context.parent;
        }
    }

    /// The mean along an axis that the value may lack.
    pub(super) fn mean_along(&mut self, x: NodeId, axis: AxisId) -> NodeId {
        if self.g.axes_of(x).contains(axis) { self.g.mean(x, axis) } else { x }
    }

    fn inside<T>(&mut self, context: usize, f: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.here, context);
        let value = f(self);
        self.here = outer;
        value
    }

    fn open(&mut self, given: Context) -> usize {
        let Context { mut sites, fields, labelled, .. } = given;
        let m = self.m;
        let table = |p: usize| labelled && m.plate.is_some_and(|plate| m.params[p].ty.axes.contains(&plate));
        let noise = |d: usize| labelled && m.plate.is_some_and(|plate| m.draws[d].axes.contains(&plate));
        let mut exprs = vec![false; m.exprs.len()];
        loop {
            for i in 0..exprs.len() {
                let id = ExprId(i as u32);
                let flagged = |id: ExprId| exprs[id.0 as usize];
                exprs[i] = match m.expr(id).kind {
                    ExprKind::Site(s) => sites.contains(&s),
                    ExprKind::Field(f) | ExprKind::Known(f) => fields.contains(&f),
                    ExprKind::Param(p) => table(p),
                    ExprKind::Draw(d) if noise(d) => true,
                    ExprKind::GuideMean(s) | ExprKind::GuideVar(s) | ExprKind::OfSite(_, s) => {
                        let dists = std::iter::once(&m.sites[s].prior).chain(&m.sites[s].guide);
                        sites.contains(&s) || dists.flat_map(|d| d.reads()).any(flagged)
                    }
                    _ => m.operands(id).into_iter().any(flagged),
                };
            }
            let before = sites.len();
            let flagged = |id: ExprId| exprs[id.0 as usize];
            sites.extend((0..m.sites.len()).filter(|s| drawn_from(m, *s).into_iter().any(flagged)));
            for sum in &self.o.sums {
                let moved =
                    sum.factors.iter().any(|i| sites.contains(i) || m.sites[*i].prior.reads().any(flagged));
                if moved {
                    sites.extend(sum.sites.iter().copied());
                }
            }
            if sites.len() == before {
                break;
            }
        }
        self.contexts.push(Context { parent: self.here, exprs, sites, fields, ..given });
        self.contexts.len() - 1
    }
}
