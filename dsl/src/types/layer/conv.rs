//! `conv[channels, positions](x over position)` and `conv_tower`, a stack of such blocks.

use super::super::{Checker, Scope};
use super::Layered;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{ConvBlock, ConvTower, ExprId, ExprKind, Layer};
use distributions::Support;

impl Checker<'_> {
    pub(super) fn conv(&mut self, l: Layered<'_>, scope: &Scope) -> Option<ExprId> {
        let arg = self.only_input(&l)?;
        let [over] = l.over[..] else {
            let d =
                Diagnostic::new(Code::E0305, format!("`{}` needs the axis that it runs along", l.name.text));
            self.diags.push(d.at(l.span, "").help("write `(x over position)`"));
            return None;
        };
        if !self.ty(arg).axes.contains(&over) {
            let t = self.ty(arg).clone();
            let (at, shown) = (self.model.expr(arg).span, self.show_axes(&t.axes));
            let what = format!("the input has no axis `{}`", self.model.axis_name(over));
            self.report(Code::E0303, what, at, format!("has {shown}"));
            return None;
        }
        let channels =
            self.rest_axis(arg, &[over], "beside its positions an input has one axis of channels", scope)?;
        let (out, place) = (l.out[0], l.out[1]);
        let plates = self.ty(arg).axes.iter().copied().filter(|a| scope.plates.contains(a));
        let axes = plates.chain([out, place]).collect();
        let blocks = self.blocks(&l, out)?;
        self.check_places(&l, over, place, &blocks)?;
        let o = &l.options;
        let tower = ConvTower {
            path: l.path.clone(),
            arg,
            over,
            channels,
            out,
            place,
            blocks,
            norm: o.norm(),
            activation: o.activation,
            pre_activation: o.pre_activation,
            dropout: o.dropout,
            bias: o.bias,
            init: o.init,
        };
        let layer = Layer::Conv(Box::new(tower));
        Some(self.push(ExprKind::Layer(layer), Ty::new(axes, Support::Real), l.span))
    }

    /// The blocks: channels grow from `channels` to the size of the output axis by equal ratios, rounded at each block.
    fn blocks(&mut self, l: &Layered<'_>, out: AxisNo) -> Option<Vec<ConvBlock>> {
        let (o, last) = (&l.options, self.needs_size(out, l.name)?);
        let first = o.channels.unwrap_or(last);
        let ratio = (last as f64 / first as f64).powf(1.0 / (o.layers.max(2) - 1) as f64);
        let (width, pool, pool_padding) = (o.width, o.pool, (o.pool - 1) / 2);
        let mut channels = first;
        let mut blocks = vec![];
        for k in 0..o.layers {
            let n = if k + 1 == o.layers { last } else { channels };
            blocks.push(ConvBlock { channels: n, width, pool, pool_padding });
            channels = ((channels as f64 * ratio).round() as usize).max(1);
        }
        Some(blocks)
    }

    /// E0308 unless the declared positions are those that pooling leaves.
    fn check_places(
        &mut self,
        l: &Layered<'_>,
        over: AxisNo,
        place: AxisNo,
        blocks: &[ConvBlock],
    ) -> Option<()> {
        let (from, declared) = (self.needs_size(over, l.name)?, self.needs_size(place, l.name)?);
        let left = blocks.iter().try_fold(from, |n, b| b.places(n));
        if left == Some(declared) {
            return Some(());
        }
        let (over, place) = (self.model.axis_name(over), self.model.axis_name(place));
        let d = Diagnostic::new(
            Code::E0308,
            format!("`{place}` does not have the size that is left of `{over}`"),
        );
        let d = d.at(
            l.span,
            match left {
                Some(n) => format!("{from} positions become {n}, and `{place}` has {declared}"),
                None => format!("pooling leaves nothing of {from} positions"),
            },
        );
        let help = left.map(|n| format!("write `dim {place} = {n}`"));
        self.diags.push(match help {
            Some(h) => d.help(h),
            None => d,
        });
        None
    }
}
