//! The table of elementwise operations: one row each with name, arity, value and rule for zeros. Derivatives stand in
//! `derivative.rs`; vectorised kernels in the back ends.

use crate::special;

/// An elementwise operation. Booleans are reals: true is 1, false is 0, any non-zero counts as true.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[rustfmt::skip]
pub enum Elem {
    /// −x.
    Neg,
    /// 1/x.
    Recip,
    /// eˣ.
    Exp,
    /// Natural logarithm; −∞ at 0, NaN below.
    Log,
    /// log(1 + x).
    Log1p,
    /// eˣ − 1.
    Expm1,
    /// √x.
    Sqrt,
    /// x².
    Square,
    /// |x|.
    Abs,
    /// −1, 0 or 1.
    Sign,
    /// Largest integer not above x.
    Floor,
    /// 1/(1 + e⁻ˣ).
    Sigmoid,
    /// log(1 + eˣ), without overflow.
    Softplus,
    /// max(x, 0).
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// log Γ(x), x > 0.
    Lgamma,
    /// d log Γ / dx, x > 0.
    Digamma,
    /// d² log Γ / dx², x > 0. Not differentiated further.
    Trigamma,
    /// Error function.
    Erf,
    /// 1 where x is 0, else 0.
    Not,
    /// a + b.
    Add,
    /// a − b.
    Sub,
    /// a · b.
    Mul,
    /// a / b.
    Div,
    /// aᵇ.
    Pow,
    /// The smaller.
    Min,
    /// The larger.
    Max,
    /// a · log b, and 0 where a is 0.
    XLogY,
    /// log Γ(a + x) − log Γ(a) for operands (x, a): zero at x = 0, without cancellation.
    LgammaDelta,
    /// ψ(a + x) − ψ(a) for operands (x, a): zero at x = 0, without cancellation.
    DigammaDelta,
    /// dw/da of the logarithm w of a Gamma(a, 1) draw for operands (w, a), at fixed randomness (implicit
    /// reparameterisation). Not differentiated further.
    LogGammaSampleGrad,
    /// a < b.
    Lt,
    /// a ≤ b.
    Le,
    /// a = b; also for two indices.
    Eq,
    /// Both non-zero.
    And,
    /// Either non-zero.
    Or,
    /// Second operand where the first is non-zero, else the third.
    Select,
}

/// When structural zeros of operands make the result a structural zero (so that sparse stays sparse).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ZeroRule {
    /// Never, in general. (A back end may still test the function at 0 when the other operands are constants.)
    Never,
    /// When the first operand is zero.
    First,
    /// When any operand is zero.
    Any,
    /// When all operands are zero.
    All,
    /// When all operands after the first are zero ([`Elem::Select`]).
    Branches,
}

impl Elem {
    /// Every row of the table.
    pub const ALL: [Elem; 37] = {
        use Elem::*;
        [
            Neg,
            Recip,
            Exp,
            Log,
            Log1p,
            Expm1,
            Sqrt,
            Square,
            Abs,
            Sign,
            Floor,
            Sigmoid,
            Softplus,
            Relu,
            Tanh,
            Lgamma,
            Digamma,
            Trigamma,
            Erf,
            Not,
            Add,
            Sub,
            Mul,
            Div,
            Pow,
            Min,
            Max,
            XLogY,
            LgammaDelta,
            DigammaDelta,
            LogGammaSampleGrad,
            Lt,
            Le,
            Eq,
            And,
            Or,
            Select,
        ]
    };

    /// Number of operands.
    pub fn arity(self) -> usize {
        match self {
            Elem::Select => 3,
            e if (e as u8) < (Elem::Add as u8) => 1,
            _ => 2,
        }
    }

    /// Name in print-outs.
    #[rustfmt::skip]
    pub fn name(self) -> &'static str {
        use Elem::*;
        match self {
            Neg => "neg", Recip => "recip", Exp => "exp", Log => "log", Log1p => "log1p", Expm1 => "expm1",
            Sqrt => "sqrt", Square => "square", Abs => "abs", Sign => "sign", Floor => "floor",
            Sigmoid => "sigmoid", Softplus => "softplus", Relu => "relu", Tanh => "tanh", Lgamma => "lgamma",
            Digamma => "digamma", Trigamma => "trigamma", Erf => "erf", Not => "not", Add => "add", Sub => "sub",
            Mul => "mul", Div => "div", Pow => "pow", Min => "min", Max => "max", XLogY => "xlogy",
            LgammaDelta => "lgamma_delta", DigammaDelta => "digamma_delta",
            LogGammaSampleGrad => "log_gamma_sample_grad",
            Lt => "lt", Le => "le", Eq => "eq", And => "and", Or => "or", Select => "select",
        }
    }

    /// How structural zeros pass through.
    pub fn zero_rule(self) -> ZeroRule {
        use Elem::*;
        match self {
            Neg | Log1p | Expm1 | Sqrt | Square | Abs | Sign | Floor | Relu | Tanh | Erf | Div | XLogY
            | LgammaDelta | DigammaDelta => ZeroRule::First,
            Mul | And => ZeroRule::Any,
            Add | Sub | Min | Max | Or => ZeroRule::All,
            Select => ZeroRule::Branches,
            _ => ZeroRule::Never,
        }
    }

    /// The value in double precision: the definition that every kernel is tested against. `x` has [`Elem::arity`]
    /// entries.
    #[rustfmt::skip]
    pub fn eval(self, x: &[f64]) -> f64 {
        use Elem::*;
        let truth = |b: bool| f64::from(u8::from(b));
        let a = x[0];
        let b = if x.len() > 1 { x[1] } else { 0.0 };
        match self {
            Neg => -a, Recip => 1.0 / a, Exp => a.exp(), Log => a.ln(), Log1p => a.ln_1p(), Expm1 => a.exp_m1(),
            Sqrt => a.sqrt(), Square => a * a, Abs => a.abs(), Floor => a.floor(),
            Sign => if a == 0.0 { 0.0 } else { a.signum() },
            Sigmoid => special::sigmoid(a), Softplus => special::softplus(a), Relu => if a > 0.0 || a.is_nan() { a } else { 0.0 },
            Tanh => a.tanh(), Lgamma => special::lgamma(a), Digamma => special::digamma(a),
            Trigamma => special::trigamma(a), Erf => special::erf(a), Not => truth(a == 0.0),
            Add => a + b, Sub => a - b, Mul => a * b, Div => a / b, Pow => a.powf(b),
            Min => if a.is_nan() || a < b { a } else { b }, Max => if a.is_nan() || a > b { a } else { b },
            XLogY => if a == 0.0 { 0.0 } else { a * b.ln() },
            LgammaDelta => special::lgamma_delta(a, b), DigammaDelta => special::digamma_delta(a, b),
            LogGammaSampleGrad => special::log_gamma_sample_grad(a, b),
            Lt => truth(a < b), Le => truth(a <= b), Eq => truth(a == b),
            And => truth(a != 0.0 && b != 0.0), Or => truth(a != 0.0 || b != 0.0),
            Select => if a != 0.0 { b } else { x[2] },
        }
    }
}
