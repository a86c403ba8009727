//! Random trees, every production of the grammar among them.

use dsl::source::Span;
use dsl::syntax::ast::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Strategy;

fn name() -> impl Strategy<Value = Name> + Clone {
    let names =
        vec!["x", "mu", "kl", "site", "axis", "h1", "_t", "lik", "field", "network", "E", "gene", "cell"];
    select(names).prop_map(named)
}

fn named(text: &str) -> Name {
    Name { text: text.to_string(), span: Span::default() }
}

fn word() -> impl Strategy<Value = Name> + Clone {
    prop_oneof![name(), select(vec!["data", "over", "model", "e5", "true"]).prop_map(named)]
}

fn axes() -> impl Strategy<Value = Vec<Name>> + Clone {
    vec(name(), 0..3)
}

fn path() -> impl Strategy<Value = Path> + Clone {
    let text =
        ".{0,5}".prop_map(|text: String| Name { text: text.replace('\n', " "), span: Span::default() });
    let part = prop_oneof![3 => word(), 1 => text];
    (name(), vec(part, 0..3)).prop_map(|(first, rest)| {
        let parts = std::iter::once(first).chain(rest).collect();
        Path { parts, span: Span::default() }
    })
}

fn of_kind(kind: ExprKind) -> Expr {
    Expr { kind, span: Span::default() }
}

fn number() -> impl Strategy<Value = Expr> + Clone {
    select(vec!["0", "1", "0.5", "1e-4", "12.25E+3"]).prop_map(|n| of_kind(ExprKind::Number(n.to_string())))
}

fn literal() -> impl Strategy<Value = Expr> + Clone {
    let negative = number().prop_map(|n| of_kind(ExprKind::Unary { op: UnaryOp::Neg, operand: Box::new(n) }));
    prop_oneof![number(), negative, constant()]
}

fn constant() -> impl Strategy<Value = Expr> + Clone {
    prop_oneof![
        "\\PC{0,6}|[\n\t\r\"\\\\]{0,4}".prop_map(|text| of_kind(ExprKind::Text(text))),
        any::<bool>().prop_map(|value| of_kind(ExprKind::Bool(value))),
    ]
}

fn bindings(
    inner: impl Strategy<Value = Expr> + Clone,
    at_least: usize,
) -> impl Strategy<Value = Vec<Binding>> {
    let one = (name(), inner).prop_map(|(name, value)| Binding { name, value, span: Span::default() });
    vec(one, at_least..3)
}

fn args(inner: impl Strategy<Value = Expr> + Clone) -> impl Strategy<Value = Vec<Arg>> {
    vec(
        (option::of(name()), inner).prop_map(|(name, value)| Arg { name, value, span: Span::default() }),
        0..3,
    )
}

fn call(inner: impl Strategy<Value = Expr> + Clone) -> impl Strategy<Value = Expr> {
    let parts = (
        inner.clone(),
        args(inner.clone()),
        args(inner.clone()),
        axes(),
        option::of(inner.clone()),
        bindings(inner, 0),
    );
    parts.prop_map(|(callee, args, conditions, over, filter, given)| {
        of_kind(ExprKind::Call(Box::new(Call { callee, args, conditions, over, filter, given })))
    })
}

fn binary_op() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::*;
    select(vec![Or, And, Eq, Ne, Lt, Le, Gt, Ge, Add, Sub, Mul, Div, Pow])
}

fn expr() -> BoxedStrategy<Expr> {
    let leaf =
        prop_oneof![3 => name().prop_map(|n| of_kind(ExprKind::Name(n))), 1 => number(), 1 => constant()];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let arm =
            (name(), inner.clone()).prop_map(|(label, value)| Arm { label, value, span: Span::default() });
        prop_oneof![
            (boxed.clone(), word()).prop_map(|(base, name)| ExprKind::Field { base, name }),
            (boxed.clone(), vec(inner.clone(), 1..3))
                .prop_map(|(base, indices)| ExprKind::Index { base, indices }),
            call(inner.clone()).prop_map(|call| call.kind),
            (select(vec![UnaryOp::Neg, UnaryOp::Not]), boxed.clone())
                .prop_map(|(op, operand)| ExprKind::Unary { op, operand }),
            (binary_op(), boxed.clone(), boxed.clone()).prop_map(|(op, left, right)| ExprKind::Binary {
                op,
                left,
                right
            }),
            bindings(inner.clone(), 1).prop_map(ExprKind::Record),
            (name(), vec(arm, 0..3)).prop_map(|(subject, arms)| ExprKind::Match { subject, arms }),
        ]
        .prop_map(of_kind)
    })
    .boxed()
}

/// What may stand after `~`: a call, so that it can be a distribution.
fn dist() -> BoxedStrategy<Expr> {
    call(expr()).boxed()
}

fn ty() -> impl Strategy<Value = Type> {
    (name(), any::<bool>(), axes(), option::of(name())).prop_map(|(name, may_miss, axes, over)| Type {
        name,
        may_miss,
        axes,
        over,
        span: Span::default(),
    })
}

fn define() -> impl Strategy<Value = Define> {
    (any::<bool>(), name(), axes(), expr()).prop_map(|(is_override, name, axes, value)| Define {
        is_override,
        name,
        axes,
        value,
        span: Span::default(),
    })
}

fn draw() -> impl Strategy<Value = Draw> {
    (name(), axes(), dist()).prop_map(|(name, axes, dist)| Draw { name, axes, dist })
}

fn cond() -> impl Strategy<Value = Option<Cond>> {
    option::of((expr(), option::of(expr())).prop_map(|(condition, otherwise)| Cond {
        condition,
        otherwise,
        span: Span::default(),
    }))
}

fn model() -> BoxedStrategy<Vec<ModelStmt>> {
    let of = |kind| ModelStmt { kind, span: Span::default() };
    let site =
        (any::<bool>(), name(), axes(), dist(), cond()).prop_map(|(is_override, name, axes, dist, cond)| {
            ModelStmtKind::Site(Site { is_override, name, axes, dist, cond })
        });
    let observe = (any::<bool>(), expr(), dist(), cond()).prop_map(|(is_override, target, dist, cond)| {
        ModelStmtKind::Observe(Observe { is_override, target, dist, cond })
    });
    let leaf = prop_oneof![
        site,
        observe,
        draw().prop_map(ModelStmtKind::Draw),
        define().prop_map(ModelStmtKind::Define)
    ]
    .prop_map(of);
    let stmt = leaf.prop_recursive(2, 6, 2, move |inner| {
        let body = vec(inner, 0..3);
        prop_oneof![
            (name(), option::of(expr()), body.clone())
                .prop_map(|(axis, weight, body)| ModelStmtKind::Plate(Plate { axis, weight, body })),
            (expr(), body).prop_map(|(condition, body)| ModelStmtKind::When(When { condition, body })),
        ]
        .prop_map(of)
    });
    vec(stmt, 0..4).boxed()
}

fn guide() -> BoxedStrategy<Vec<GuideStmt>> {
    let of = |kind| GuideStmt { kind, span: Span::default() };
    let strategy = (select(dsl::syntax::ast::Strategy::ALL.to_vec()), args(expr()))
        .prop_map(|(strategy, args)| Treatment::Strategy { strategy, args, span: Span::default() });
    let how = prop_oneof![strategy, dist().prop_map(Treatment::Dist)];
    let treat = (any::<bool>(), name(), how, cond()).prop_map(|(is_override, name, how, cond)| {
        GuideStmtKind::Treat(Treat { is_override, name, how, cond })
    });
    let leaf =
        prop_oneof![treat, draw().prop_map(GuideStmtKind::Draw), define().prop_map(GuideStmtKind::Define)]
            .prop_map(of);
    let stmt = leaf.prop_recursive(2, 6, 2, move |inner| {
        let body = vec(inner, 0..3);
        prop_oneof![
            (name(), body.clone()).prop_map(|(axis, body)| GuideStmtKind::Plate(Plate {
                axis,
                weight: None,
                body
            })),
            (expr(), body).prop_map(|(condition, body)| GuideStmtKind::When(When { condition, body })),
        ]
        .prop_map(of)
    });
    vec(stmt, 0..4).boxed()
}

fn objective() -> BoxedStrategy<Vec<ObjectiveStmt>> {
    let term =
        || {
            (select(vec![TermSort::Kl, TermSort::Lik, TermSort::Prior]), name())
                .prop_map(|(sort, site)| Term { sort, site, span: Span::default() })
        };
    let of = |kind| ObjectiveStmt { kind, span: Span::default() };
    let leaf = prop_oneof![
        define().prop_map(ObjectiveStmtKind::Define),
        (any::<bool>(), vec(term(), 1..3), expr())
            .prop_map(|(is_override, terms, by)| ObjectiveStmtKind::Weight { is_override, terms, by }),
        (term(), expr()).prop_map(|(term, by)| ObjectiveStmtKind::Estimate { term, by }),
        name().prop_map(ObjectiveStmtKind::Ignore),
        expr().prop_map(ObjectiveStmtKind::Minimize),
        expr().prop_map(ObjectiveStmtKind::Maximize),
        draw().prop_map(ObjectiveStmtKind::Draw),
    ]
    .prop_map(of);
    let stmt = leaf.prop_recursive(2, 6, 2, move |inner| {
        (expr(), vec(inner, 0..3))
            .prop_map(|(condition, body)| ObjectiveStmtKind::When(When { condition, body }))
            .prop_map(of)
    });
    vec(stmt, 0..4).boxed()
}

fn field() -> impl Strategy<Value = Field> {
    let missing = prop_oneof![
        literal().prop_map(MissingKind::Literal),
        (name(), option::of(name())).prop_map(|(name, by)| MissingKind::Named { name, by }),
    ]
    .prop_map(|kind| Missing { kind, span: Span::default() });
    (name(), ty(), option::of((path(), option::of(missing))), any::<bool>()).prop_map(
        |(name, ty, from, optional)| {
            let optional = optional || from.is_none();
            let (from, missing) = from.map_or((None, None), |(path, missing)| (Some(path), missing));
            Field { name, ty, from, missing, optional, span: Span::default() }
        },
    )
}

fn dim() -> impl Strategy<Value = Dim> {
    let kind = prop_oneof![
        Just(DimKind::Data),
        expr().prop_map(DimKind::Size),
        vec(name(), 1..3).prop_map(DimKind::Labels),
        name().prop_map(DimKind::Within),
    ];
    (name(), kind).prop_map(|(name, kind)| Dim { name, kind, span: Span::default() })
}

fn formals() -> impl Strategy<Value = Formals> {
    let one = (name(), axes()).prop_map(|(name, axes)| Formal { name, axes, span: Span::default() });
    (vec(one, 0..3), option::of(name())).prop_map(|(inputs, conditions)| Formals { inputs, conditions })
}

fn declaration() -> BoxedStrategy<ItemKind> {
    let sorts = vec![NeedSort::Site, NeedSort::Field, NeedSort::Network, NeedSort::Axis];
    let need = (select(sorts), name(), axes()).prop_map(|(sort, name, axes)| Need {
        sort,
        name,
        axes,
        span: Span::default(),
    });
    let option = (name(), vec(name(), 0..3), expr()).prop_map(|(name, choices, default)| OptionDecl {
        name,
        choices,
        default,
        span: Span::default(),
    });
    prop_oneof![
        vec(path(), 1..3).prop_map(ItemKind::Extends),
        vec(need, 1..3).prop_map(ItemKind::Needs),
        (name(), path()).prop_map(|(name, model)| ItemKind::Load(Load { name, model })),
        vec(dim(), 1..3).prop_map(ItemKind::Dim),
        vec(option, 1..3).prop_map(ItemKind::Option),
        (name(), axes(), ty(), path()).prop_map(|(name, axes, ty, from)| ItemKind::Const(Const {
            name,
            axes,
            ty,
            from
        })),
        (name(), axes(), expr()).prop_map(|(name, axes, value)| ItemKind::Stat(Stat { name, axes, value })),
        (any::<bool>(), any::<bool>(), name(), axes(), option::of(ty()), option::of(expr())).prop_map(
            |(is_override, frozen, name, axes, ty, init)| {
                ItemKind::Param(Param { is_override, frozen, name, axes, ty, init })
            }
        ),
        (name(), formals(), expr()).prop_map(|(name, formals, value)| ItemKind::Fn(Function {
            name,
            formals,
            value
        })),
    ]
    .boxed()
}

fn block() -> BoxedStrategy<ItemKind> {
    let output = (name(), axes(), expr(), option::of(path())).prop_map(|(name, axes, value, to)| Output {
        name,
        axes,
        value,
        to,
        span: Span::default(),
    });
    let setting = (name(), option::of(path()), expr()).prop_map(|(key, target, value)| Setting {
        key,
        target,
        value,
        span: Span::default(),
    });
    let net_define = define();
    prop_oneof![
        vec(field(), 0..4).prop_map(ItemKind::Data),
        (any::<bool>(), name(), formals(), option::of(path()), vec(net_define, 0..3), expr()).prop_map(
            |(is_override, name, formals, from, body, returns)| {
                ItemKind::Net(Net { is_override, name, formals, from, body, returns })
            }
        ),
        model().prop_map(ItemKind::Model),
        guide().prop_map(ItemKind::Guide),
        objective().prop_map(ItemKind::Objective),
        (name(), expr(), expr(), name(), option::of(expr())).prop_map(
            |(name, predict, from, net, strength)| {
                ItemKind::Adversary(Adversary { name, predict, from, net, strength })
            }
        ),
        vec(output, 0..3).prop_map(ItemKind::Output),
        vec(setting, 0..3).prop_map(ItemKind::Train),
    ]
    .boxed()
}

/// A whole file.
pub fn ast() -> impl Strategy<Value = Ast> {
    let item = |kind| Item { kind, span: Span::default() };
    let plain = prop_oneof![declaration(), block()].prop_map(item);
    let nested = plain.prop_recursive(2, 6, 3, move |inner| {
        (expr(), vec(inner, 0..3))
            .prop_map(move |(condition, body)| item(ItemKind::When(When { condition, body })))
    });
    vec(nested, 0..4).prop_map(|items| Ast { items, broken: Vec::new(), span: Span::default() })
}
