//! The matrix unit of x86 processors that have it (AMX): 16 × 16 products of bfloat16 pairs, summed in single precision.

use std::arch::asm;

/// Bytes of a tile: 16 rows of 64.
pub(super) const TILE: usize = 1024;

unsafe extern "C" {
    fn syscall(number: i64, ...) -> i64;
}

/// Whether the processor has the unit and the system lets this process use it (asks for that, once).
pub(super) fn available() -> bool {
    static FOUND: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *FOUND.get_or_init(|| {
        let vectors = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        let cpu = std::arch::x86_64::__cpuid_count(7, 0).edx;
        // AMX-BF16 and AMX-TILE.
        if !vectors || cpu >> 22 & 1 == 0 || cpu >> 24 & 1 == 0 {
            return false;
        }
        // arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA): Linux hands out tile registers on request.
        // SAFETY: a system call without pointers.
        unsafe { syscall(158, 0x1023_i64, 18_i64) == 0 }
    })
}

#[repr(C, align(64))]
struct Config([u8; 64]);

/// Eight full tiles: palette 1, 64 bytes a row, 16 rows.
const FULL: Config = {
    let mut c = [0; 64];
    c[0] = 1;
    let mut i = 0;
    while i < 8 {
        c[16 + 2 * i] = 64;
        c[48 + i] = 16;
        i += 1;
    }
    Config(c)
};

/// The tile registers of this thread, configured for as long as this lives.
pub(super) struct Tiles(());

impl Tiles {
    /// Configures them.
    ///
    /// # Safety
    /// [`available`] said yes.
    pub unsafe fn new() -> Self {
        // SAFETY: the unit is there; the configuration is a valid one of 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &FULL, options(nostack, readonly)) };
        Self(())
    }

    /// c\[0 .. 32, 0 .. 32\] = Σ a · b over `steps` steps of 32, with rows of c `stride` bytes apart; added to what is
    /// there if `more`.
    ///
    /// `a` and `b` hold for each step three tiles (high, middle and low parts) of each of two neighbouring blocks of 16;
    /// `next` bytes lie between a block and its neighbour. Of the nine products of parts the six above 2⁻²⁶ are summed,
    /// small ones first.
    ///
    /// # Safety
    /// `a` and `b` hold what is read, `c` what is written.
    pub unsafe fn multiply(
        &self,
        a: *const u8,
        b: *const u8,
        next: [usize; 2],
        steps: usize,
        c: *mut f32,
        stride: usize,
        more: bool,
    ) {
        // SAFETY: the caller's promise; tile registers hold nothing of the compiler's.
        unsafe {
            asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                "test {more}, {more}",
                "jz 2f",
                "tileloadd tmm0, [{c} + {stride}]", "tileloadd tmm1, [{c} + {stride} + 64]",
                "tileloadd tmm2, [{c2} + {stride}]", "tileloadd tmm3, [{c2} + {stride} + 64]",
                "2:",
                // High part of a with low, middle, high part of b.
                "tileloadd tmm4, [{a} + {row}]", "tileloadd tmm5, [{a2} + {row}]",
                "tileloadd tmm6, [{b} + {row} + 2048]", "tileloadd tmm7, [{b2} + {row} + 2048]",
                "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm6, [{b} + {row} + 1024]", "tileloadd tmm7, [{b2} + {row} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm6, [{b} + {row}]", "tileloadd tmm7, [{b2} + {row}]",
                "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                // Low and middle part of a with the high part of b, still there.
                "tileloadd tmm4, [{a} + {row} + 2048]", "tileloadd tmm5, [{a2} + {row} + 2048]",
                "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm4, [{a} + {row} + 1024]", "tileloadd tmm5, [{a2} + {row} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                // Middle with middle.
                "tileloadd tmm6, [{b} + {row} + 1024]", "tileloadd tmm7, [{b2} + {row} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 3072", "add {a2}, 3072", "add {b}, 3072", "add {b2}, 3072",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{c} + {stride}], tmm0", "tilestored [{c} + {stride} + 64], tmm1",
                "tilestored [{c2} + {stride}], tmm2", "tilestored [{c2} + {stride} + 64], tmm3",
                a = inout(reg) a => _,
                a2 = inout(reg) a.wrapping_add(next[0]) => _,
                b = inout(reg) b => _,
                b2 = inout(reg) b.wrapping_add(next[1]) => _,
                steps = inout(reg) steps => _,
                c = in(reg) c,
                c2 = in(reg) c.cast::<u8>().wrapping_add(16 * stride),
                stride = in(reg) stride,
                row = in(reg) 64_usize,
                more = in(reg) usize::from(more),
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the registers were configured by `new`.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}
