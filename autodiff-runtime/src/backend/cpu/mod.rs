//! Fused tiles over SIMD lanes, matrix products, sparse rows.
