// What every printed module begins with: number types, the elementwise functions of the operations' table, reductions
// within a team of threads, and the counter-based generator. Plain enough for a C compiler too: the tests build the same
// text for the host.

#if REAL_IS_DOUBLE
typedef double real;
#define F(name) name
#else
typedef float real;
#define F(name) name##f
#endif
typedef INDEX_TYPE idx;

#define DEV static __device__ __forceinline__
#define EACH _Pragma("unroll") for (int j = 0; j < V; ++j)

// --- numbers -----------------------------------------------------------------------------------------------------------

#define REAL_INF ((real)(1e300 * 1e300))
#define REAL_NAN ((real)(REAL_INF - REAL_INF))
#define LN_2 0.693147180559945309417232121458
#define TAU 6.28318530717958647692528676656

typedef struct __align__(16) { real v[16 / sizeof(real)]; } pack;

// Four neighbours; `from` is aligned to sixteen bytes.
DEV void load4(real *to, const real *from) {
    const int n = 16 / sizeof(real);
    _Pragma("unroll") for (int p = 0; p < 4 / n; ++p) {
        const pack got = ((const pack *)from)[p];
        _Pragma("unroll") for (int j = 0; j < n; ++j) to[p * n + j] = got.v[j];
    }
}
DEV void store4(real *to, const real *from) {
    const int n = 16 / sizeof(real);
    _Pragma("unroll") for (int p = 0; p < 4 / n; ++p) {
        pack put;
        _Pragma("unroll") for (int j = 0; j < n; ++j) put.v[j] = from[p * n + j];
        ((pack *)to)[p] = put;
    }
}

// --- elementwise functions: definitions in op/elementwise.rs --------------------------------------------------------------

DEV real op_neg(real a) { return -a; }
DEV real op_recip(real a) { return (real)1 / a; }
DEV real op_exp(real a) { return F(exp)(a); }
DEV real op_log(real a) { return F(log)(a); }
DEV real op_log1p(real a) { return F(log1p)(a); }
DEV real op_expm1(real a) { return F(expm1)(a); }
DEV real op_sqrt(real a) { return F(sqrt)(a); }
DEV real op_square(real a) { return a * a; }
DEV real op_abs(real a) { return F(fabs)(a); }
DEV real op_sign(real a) { return a == 0 ? (real)0 : a != a ? a : F(copysign)((real)1, a); }
DEV real op_floor(real a) { return F(floor)(a); }
DEV real op_relu(real a) { return a > 0 || a != a ? a : (real)0; }
DEV real op_tanh(real a) { return F(tanh)(a); }
DEV real op_lgamma(real a) { return F(lgamma)(a); }
DEV real op_erf(real a) { return F(erf)(a); }
DEV real op_not(real a) { return a == 0 ? (real)1 : (real)0; }
DEV real op_add(real a, real b) { return a + b; }
DEV real op_sub(real a, real b) { return a - b; }
DEV real op_mul(real a, real b) { return a * b; }
DEV real op_div(real a, real b) { return a / b; }
DEV real op_pow(real a, real b) { return F(pow)(a, b); }
DEV real op_min(real a, real b) { return a != a || a < b ? a : b; }
DEV real op_max(real a, real b) { return a != a || a > b ? a : b; }
DEV real op_xlogy(real a, real b) { return a == 0 ? (real)0 : a * F(log)(b); }
DEV real op_lt(real a, real b) { return a < b ? (real)1 : (real)0; }
DEV real op_le(real a, real b) { return a <= b ? (real)1 : (real)0; }
DEV real op_eq(real a, real b) { return a == b ? (real)1 : (real)0; }
DEV real op_and(real a, real b) { return a != 0 && b != 0 ? (real)1 : (real)0; }
DEV real op_or(real a, real b) { return a != 0 || b != 0 ? (real)1 : (real)0; }
DEV real op_select(real a, real b, real c) { return a != 0 ? b : c; }

DEV real op_sigmoid(real a) {
    const real e = F(exp)(-F(fabs)(a));
    return (a >= 0 ? (real)1 : e) / (1 + e);
}
DEV real op_softplus(real a) {
    return a != a ? a : F(fmax)(a, (real)0) + F(log1p)(F(exp)(-F(fabs)(a)));
}

// Gamma's relatives: recurrence up to SHIFTED, then the asymptotic series (Abramowitz and Stegun 6.1.40, 6.3.18, 6.4.12).
#if REAL_IS_DOUBLE
#define SHIFTED 12
#else
#define SHIFTED 8
#endif

// log Γ(y) − ((y − ½) log y − y + ½ log 2π), for y ≥ SHIFTED.
DEV real stirling_rest(real y) {
    const real r = 1 / (y * y);
    return ((real)(1.0 / 12) - r * ((real)(1.0 / 360) - r * ((real)(1.0 / 1260) - r * ((real)(1.0 / 1680)
        - r * ((real)(1.0 / 1188) - r * (real)(691.0 / 360360)))))) / y;
}
// log y − ψ(y), for y ≥ SHIFTED.
DEV real digamma_rest(real y) {
    const real r = 1 / (y * y);
    return (real)0.5 / y + r * ((real)(1.0 / 12) - r * ((real)(1.0 / 120) - r * ((real)(1.0 / 252)
        - r * ((real)(1.0 / 240) - r * ((real)(1.0 / 132) - r * ((real)(691.0 / 32760) - r * (real)(1.0 / 12)))))));
}
DEV real op_digamma(real x) {
    real shift = 0, y = x;
    if (!(x > 0)) return REAL_NAN;
    while (y < SHIFTED) { shift += 1 / y; y += 1; }
    return F(log)(y) - digamma_rest(y) - shift;
}
DEV real op_trigamma(real x) {
    real shift = 0, y = x, r;
    if (!(x > 0)) return REAL_NAN;
    while (y < SHIFTED) { shift += 1 / (y * y); y += 1; }
    r = 1 / (y * y);
    return shift + 1 / y + (real)0.5 * r + r / y * ((real)(1.0 / 6) - r * ((real)(1.0 / 30) - r * ((real)(1.0 / 42)
        - r * ((real)(1.0 / 30) - r * ((real)(5.0 / 66) - r * ((real)(691.0 / 2730) - r * (real)(7.0 / 6)))))));
}
DEV real op_lgamma_delta(real x, real a) {
    real shift = 0, y = a, z, b = a + x;
    if (x == 0) return 0;
    if (x > 0 && x <= 8 && x == F(floor)(x)) {
        // A product of a few numbers: its logarithm in one go, in two halves against overflow.
        real first = 1, second = 1;
        for (int k = 0; k < (int)x; ++k) { if (k < 4) first *= a + k; else second *= a + k; }
        return F(log)(first) + F(log)(second);
    }
    if (!(a > 0 && b > 0) || x == REAL_INF || a == REAL_INF) return F(lgamma)(b) - F(lgamma)(a);
    if (F(fmin)(a, b) < SHIFTED) {
        // Four factors to a logarithm: they cannot overflow.
        for (int h = 0; h < SHIFTED; h += 4) {
            real ratio = 1;
            for (int k = h; k < h + 4; ++k) ratio *= (b + k) / (a + k);
            shift += F(log)(ratio);
        }
        y = a + SHIFTED;
    }
    z = y + x;
    return (y - (real)0.5) * F(log1p)(x / y) + x * (F(log)(z) - 1) + (stirling_rest(z) - stirling_rest(y)) - shift;
}
DEV real op_digamma_delta(real x, real a) {
    real sum = 0, y = a, b = a + x;
    if (x == 0) return 0;
    if (x > 0 && x <= 8 && x == F(floor)(x)) {
        for (int k = 0; k < (int)x; ++k) sum += 1 / (a + k);
        return sum;
    }
    if (!(a > 0 && b > 0) || x == REAL_INF || a == REAL_INF) return op_digamma(b) - op_digamma(a);
    while (F(fmin)(y, y + x) < SHIFTED) { sum += x / (y * (y + x)); y += 1; }
    return F(log1p)(x / y) + (digamma_rest(y) - digamma_rest(y + x)) + sum;
}

// dw/da of the logarithm w of a Gamma(a, 1) draw (special.rs), in double precision: it is rare and its series are long.
DEV double digamma_double(double x) {
    double shift = 0, y = x, r;
    while (y < 12) { shift += 1 / y; y += 1; }
    r = 1 / (y * y);
    return log(y) - 0.5 / y - shift - r * (1.0 / 12 - r * (1.0 / 120 - r * (1.0 / 252 - r * (1.0 / 240 - r * (1.0 / 132
        - r * (691.0 / 32760 - r / 12))))));
}
DEV double log_grad_by_series(double w, double a) {
    double t = 1 / a, psi = digamma_double(a + 1), z = exp(w), sum = 0, k = 0;
    do {
        sum += t * (w - psi);
        k += 1;
        psi += 1 / (a + k);
        t *= z / (a + k);
    } while (!(t * (fabs(psi) + fabs(w) + 1) < 1e-17 * fabs(sum) || k > 1e6));
    return -sum;
}
DEV double log_grad_by_fraction(double w, double a) {
    const double z = exp(w);
    double b = z + 1 - a, c = 0, dc = 0, d = 1 / b, dd = d * d, h = d, dh = dd, k = 1;
    int first = 1;
    for (;;) {
        const double n = -k * (k - a), dn = k;
        double denominator, slope, step, dstep;
        b += 2;
        denominator = n * d + b;
        slope = dn * d + n * dd - 1;
        d = 1 / denominator;
        dd = -slope * d * d;
        dc = first ? -1 : dn / c - n * dc / (c * c) - 1;
        c = first ? b : b + n / c;
        first = 0;
        step = c * d;
        dstep = dc * d + c * dd;
        dh = dh * step + h * dstep;
        h *= step;
        k += 1;
        if ((fabs(step - 1) < 1e-15 && fabs(h * dstep) < 1e-15 * fabs(dh)) || k > 1e6)
            return h * (w - digamma_double(a)) + dh;
    }
}
DEV real op_log_gamma_sample_grad(real w_, real a_) {
    const double w = w_, a = a_;
    if (!(a > 0 && a < 1e300 && w < 1e300)) return REAL_NAN;
    if (a >= 1e6) {
        const double c = exp((w - log(a)) / 3), u = c - 1 + 1 / (9 * a);
        return (real)(1 / a + 3 * ((1 / (9 * a) - 0.5 * u) / a) / c);
    }
    return (real)(w < log(a + 1) ? log_grad_by_series(w, a) : log_grad_by_fraction(w, a));
}

// --- reductions: a fixed order, so that runs repeat bit by bit ------------------------------------------------------------

// A running log Σ exp as its largest term and the sum of the others relative to it.
typedef struct { real top, sum; } lse;
DEV lse lse_add(lse a, real x) {
    if (x == a.top) a.sum += 1;
    else if (x > a.top) { a.sum = a.sum * F(exp)(a.top - x) + 1; a.top = x; }
    else a.sum += F(exp)(x - a.top);
    return a;
}
DEV real lse_value(lse a) { return a.top == REAL_INF || a.top == -REAL_INF ? a.top + a.sum * 0 : a.top + F(log)(a.sum); }

// Combines the numbers of the `size` threads (a power of two) of each team; every thread gets the result. All threads of
// the block call it. `room` has a place for each warp of the block.
#define TEAM_REDUCE(NAME, TYPE, COMBINE)                                                        \
    DEV TYPE NAME(TYPE v, unsigned size, TYPE *room) {                                           \
        for (unsigned o = (size < 32 ? size : 32) / 2; o; o >>= 1) {                               \
            const TYPE w = __shfl_xor_sync(0xffffffffu, v, o);                                     \
            v = COMBINE(v, w);                                                                     \
        }                                                                                        \
        if (size > 32) {                                                                         \
            const unsigned first = threadIdx.x / size * (size / 32);                               \
            __syncthreads();                                                                     \
            if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = v;                                 \
            __syncthreads();                                                                     \
            v = room[first];                                                                     \
            for (unsigned i = 1; i < size / 32; ++i) v = COMBINE(v, room[first + i]);              \
        }                                                                                        \
        return v;                                                                                \
    }
DEV double plus_double(double a, double b) { return a + b; }
TEAM_REDUCE(team_sum, real, op_add)
TEAM_REDUCE(team_prod, real, op_mul)
TEAM_REDUCE(team_max, real, op_max)
TEAM_REDUCE(team_min, real, op_min)
TEAM_REDUCE(team_sum_double, double, plus_double)
DEV real team_lse(lse a, unsigned size, real *room) {
    const real top = team_max(a.top, size, room);
    const real scale = a.top == top ? (real)1 : F(exp)(a.top - top);
    lse all;
    all.sum = team_sum(a.sum == 0 ? (real)0 : a.sum * scale, size, room);
    all.top = top;
    return lse_value(all);
}

// --- randomness: random.rs, word for word ---------------------------------------------------------------------------------

typedef struct { unsigned key[2], c[4], w[4]; int used; } words;

DEV void philox(const unsigned *counter, const unsigned *key, unsigned *out) {
    unsigned c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round) {
        const unsigned long long p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
        const unsigned n0 = (unsigned)(p1 >> 32) ^ c1 ^ k0, n2 = (unsigned)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0; c1 = (unsigned)p1; c2 = n2; c3 = (unsigned)p0;
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
    out[0] = c0; out[1] = c1; out[2] = c2; out[3] = c3;
}
// `key`: seed and step, low words first.
DEV words words_of(const unsigned *key, unsigned stream, unsigned row, unsigned long long position) {
    const unsigned counter[4] = {key[2], key[3], stream, 0x53564943u};
    unsigned mixed[4];
    words w;
    philox(counter, key, mixed);
    w.key[0] = mixed[0]; w.key[1] = mixed[1];
    w.c[0] = (unsigned)position; w.c[1] = row; w.c[2] = mixed[2] ^ (unsigned)(position >> 32); w.c[3] = 0;
    w.used = 4;
    return w;
}
DEV unsigned next_word(words *w) {
    if (w->used == 4) { philox(w->c, w->key, w->w); w->c[3] += 1; w->used = 0; }
    return w->w[w->used++];
}

// Products and sums that are rounded one by one, as on the CPU.
#define MUL(a, b) __dmul_rn(a, b)
#define ADD(a, b) __dadd_rn(a, b)

DEV double open_unit(unsigned word) {
    const double u = MUL(ADD((double)word, 0.5), 1.0 / 4294967296.0), below_one = 1.0 - 1.0 / 16777216.0;
    return u < below_one ? u : below_one;
}
DEV double log_unit(double u) {
    const unsigned long long bits = __double_as_longlong(u), k = (bits - 0x3FE6A09E667F3BCDull) & 0xFFF0000000000000ull;
    const double m = __longlong_as_double(bits - k), power = (double)((long long)k >> 52);
    const double s = ADD(m, -1.0) / ADD(m, 1.0), z = MUL(s, s);
    double series = 1.0 / 25.0;
    for (int n = 23; n >= 3; n -= 2) series = ADD(MUL(series, z), 1.0 / n);
    return ADD(MUL(power, LN_2), MUL(2.0, ADD(s, MUL(MUL(s, z), series))));
}
DEV double cos_turns(double v) {
    const double x = MUL(TAU, ADD(fabs(ADD(v, -0.5)), -0.25)), z = MUL(x, x);
    double series = 1.0;
    for (int n = 23; n >= 3; n -= 2) series = ADD(1.0, -MUL(MUL(series, z), 1.0 / ((n - 1.0) * n)));
    return MUL(x, series);
}
DEV double draw_uniform(words *w) { return open_unit(next_word(w)); }
DEV double draw_normal(words *w) {
    const unsigned a = next_word(w), b = next_word(w);
    return MUL(sqrt(MUL(-2.0, log_unit(open_unit(a)))), cos_turns(open_unit(b)));
}
DEV double gamma_from_one(words *w, double a) {
    const double d = a - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = draw_normal(w), u = 1 + c * x, v = u * u * u;
        if (v > 0 && log(draw_uniform(w)) < 0.5 * x * x + d - d * v + d * log(v)) return d * v;
    }
}
// A Gamma as log_power and z, its value exp(log_power) · z.
DEV double gamma_parts(words *w, double a, double *log_power) {
    *log_power = 0;
    if (!(a > 0 && a < 1e300)) return REAL_NAN;
    if (a >= 1) return gamma_from_one(w, a);
    *log_power = log(draw_uniform(w)) / a;
    return gamma_from_one(w, a + 1);
}
DEV double draw_log_gamma(words *w, double a) {
    double power;
    const double z = gamma_parts(w, a, &power);
    return log(z) + power;
}
DEV double draw_gamma(words *w, double a) {
    double power;
    const double z = gamma_parts(w, a, &power);
    return z * exp(power);
}
DEV double draw_poisson(words *w, double rate) {
    if (rate > 1e8) rate = 1e8;
    if (!(rate >= 0)) return REAL_NAN;
    if (rate < 10) {
        const double limit = exp(-rate);
        double product = draw_uniform(w), k = 0;
        while (product > limit) { product *= draw_uniform(w); k += 1; }
        return k;
    } else {
        const double log_rate = log(rate), b = 0.931 + 2.53 * sqrt(rate), a = -0.059 + 0.02483 * b;
        const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
        for (;;) {
            const double u = draw_uniform(w) - 0.5, v = draw_uniform(w), us = 0.5 - fabs(u);
            const double k = floor((2 * a / us + b) * u + rate + 0.43);
            if (us >= 0.07 && v <= v_r) return k;
            if (k < 0 || (us < 0.013 && v > us)) continue;
            if (log(v * inverse_alpha / (a / (us * us) + b)) <= k * log_rate - rate - lgamma(k + 1)) return k;
        }
    }
}
DEV double clamp_unit(double x) { return x < 0 ? 0 : x > 1 ? 1 : x; }
DEV double draw_binomial(words *w, double total, double probability) {
    double n = total, p = probability, sum = 0;
    if (!(total >= 0 && total == floor(total) && p >= 0 && p <= 1)) return REAL_NAN;
    while (n > 30) {
        const double i = floor(n / 2) + 1, x = draw_gamma(w, i), y = draw_gamma(w, n + 1 - i), v = x / (x + y);
        if (v <= p) { sum += i; p = clamp_unit((p - v) / (1 - v)); n -= i; }
        else { p = clamp_unit(p / v); n = i - 1; }
    }
    for (int k = 0; k < (int)n; ++k) sum += draw_uniform(w) < p ? 1 : 0;
    return sum;
}

// --- kernels ----------------------------------------------------------------------------------------------------------------
