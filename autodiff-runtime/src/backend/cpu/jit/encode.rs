//! Machine code of AVX-512 instructions on 512-bit registers (Intel SDM volume 2, EVEX), and the few scalar
//! instructions of a loop.

/// A vector register, 0 .. 31.
pub(super) type Zmm = u8;

/// A general register by its number in the encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gpr(pub u8);

pub(super) const RAX: Gpr = Gpr(0);
pub(super) const RDX: Gpr = Gpr(2);
pub(super) const RDI: Gpr = Gpr(7);
/// Registers that a function gives back as it found them (System V).
pub(super) const SAVED: [Gpr; 6] = [Gpr(3), Gpr(5), Gpr(12), Gpr(13), Gpr(14), Gpr(15)];

/// The last operand of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rm {
    /// A register.
    Reg(Zmm),
    /// Sixteen numbers at base + 4 · rcx.
    Indexed(Gpr),
    /// Sixteen numbers at base + displacement.
    At(Gpr, i32),
    /// One number at base + displacement, repeated.
    Repeated(Gpr, i32),
}

/// Opcode map, mandatory prefix and opcode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Opcode(u8, u8, u8);

macro_rules! opcodes {
    ($($name:ident = $map:literal $prefix:literal $code:literal;)*) => {
        $(pub(super) const $name: Opcode = Opcode($map, $prefix, $code);)*
    };
}

// Maps 0F = 1, 0F38 = 2, 0F3A = 3; prefixes none = 0, 66 = 1, F3 = 2.
opcodes! {
    LOAD = 1 0 0x10; STORE = 1 0 0x11; MOVE = 1 0 0x28;
    SQRT = 1 0 0x51; AND = 1 0 0x54; OR = 1 0 0x56; XOR = 1 0 0x57;
    ADD = 1 0 0x58; MUL = 1 0 0x59; SUB = 1 0 0x5C; MIN = 1 0 0x5D; DIV = 1 0 0x5E; MAX = 1 0 0x5F;
    COMPARE = 1 0 0xC2;
    BROADCAST = 2 1 0x18; SCALE = 2 1 0x2C; GET_EXPONENT = 2 1 0x42; RECIP14 = 2 1 0x4C; RSQRT14 = 2 1 0x4E;
    BLEND = 2 1 0x65; PERMUTE = 2 1 0x16; SHIFT_RIGHT = 1 1 0x72; SIGNS = 2 2 0x39; FIX = 3 1 0x54;
    FMA213 = 2 1 0xA8; FNMA213 = 2 1 0xAC; FMS213 = 2 1 0xAA;
    FMA231 = 2 1 0xB8; FNMA231 = 2 1 0xBC; FMS231 = 2 1 0xBA;
    ROUND = 3 1 0x08; GET_MANTISSA = 3 1 0x26; CLASS = 3 1 0x66;
}

/// Which lanes an instruction writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Mask {
    /// Number of the mask register; 0 for all lanes.
    pub k: u8,
    /// Whether the other lanes become 0 instead of staying.
    pub zero: bool,
}

/// All lanes.
pub(super) const ALL: Mask = Mask { k: 0, zero: false };

/// A function's code under construction.
#[derive(Default)]
pub(super) struct Code(pub Vec<u8>);

impl Code {
    /// One vector instruction. `reg` is the result (or a mask register), `second` the operand in between (0 if none).
    pub fn vector(&mut self, op: Opcode, reg: u8, second: Zmm, rm: Rm, mask: Mask, imm: Option<u8>) {
        let Opcode(map, prefix, code) = op;
        let bit = |value: u8, at: u8| (value >> at) & 1;
        let (x, b, repeated) = match rm {
            Rm::Reg(r) => (bit(r, 4), bit(r, 3), 0),
            Rm::Indexed(base) | Rm::At(base, _) => (0, bit(base.0, 3), 0),
            Rm::Repeated(base, _) => (0, bit(base.0, 3), 1),
        };
        let not = |v: u8| v ^ 1;
        let p0 = not(bit(reg, 3)) << 7 | not(x) << 6 | not(b) << 5 | not(bit(reg, 4)) << 4 | map;
        let p1 = (!second & 0xF) << 3 | 1 << 2 | prefix;
        let p2 = u8::from(mask.zero) << 7 | 0b10 << 5 | repeated << 4 | not(bit(second, 4)) << 3 | mask.k;
        self.0.extend([0x62, p0, p1, p2, code]);
        self.operand(reg, rm);
        self.0.extend(imm);
    }

    fn operand(&mut self, reg: u8, rm: Rm) {
        let reg = (reg & 7) << 3;
        match rm {
            Rm::Reg(r) => self.0.push(0xC0 | reg | (r & 7)),
            Rm::Indexed(base) => {
                // Scale 4, index rcx; a displacement byte of 0 keeps every base register encodable.
                self.0.extend([0x44 | reg, 0x80 | 1 << 3 | (base.0 & 7), 0]);
            }
            Rm::At(base, offset) | Rm::Repeated(base, offset) => {
                self.0.push(0x80 | reg | (base.0 & 7));
                if base.0 & 7 == 4 {
                    self.0.push(0x24);
                }
                self.0.extend(offset.to_le_bytes());
            }
        }
    }

    /// k1 from the low bits of a register.
    pub fn mask_from(&mut self, k: u8, from: Gpr) {
        self.0.extend([0xC5, 0xF8, 0x92, 0xC0 | k << 3 | from.0]);
    }

    /// Compares a mask register with zero.
    pub fn test_mask(&mut self, k: u8) {
        self.0.extend([0xC5, 0xF8, 0x98, 0xC0 | k << 3 | k]);
    }

    /// to = 64 bits at base + offset.
    pub fn load_pointer(&mut self, to: Gpr, base: Gpr, offset: i32) {
        self.0.extend([0x48 | (to.0 >> 3) << 2 | base.0 >> 3, 0x8B, 0x80 | (to.0 & 7) << 3 | (base.0 & 7)]);
        self.0.extend(offset.to_le_bytes());
    }

    /// Pushes a register.
    pub fn push(&mut self, r: Gpr) {
        if r.0 >= 8 {
            self.0.push(0x41);
        }
        self.0.push(0x50 | (r.0 & 7));
    }

    /// Pops a register.
    pub fn pop(&mut self, r: Gpr) {
        if r.0 >= 8 {
            self.0.push(0x41);
        }
        self.0.push(0x58 | (r.0 & 7));
    }

    /// rcx = 0.
    pub fn clear_index(&mut self) {
        self.0.extend([0x31, 0xC9]);
    }

    /// rcx += 16.
    pub fn step_index(&mut self) {
        self.0.extend([0x48, 0x83, 0xC1, 16]);
    }

    /// Compares rcx with rsi.
    pub fn compare_index(&mut self) {
        self.0.extend([0x48, 0x39, 0xF1]);
    }

    /// Jumps if the last test set ZF; returns the place to be given to [`Code::land`].
    pub fn jump_if_zero(&mut self) -> usize {
        self.0.extend([0x0F, 0x84, 0, 0, 0, 0]);
        self.0.len()
    }

    /// Jumps if the last comparison was below (unsigned), back to `target`.
    pub fn jump_back_if_below(&mut self, target: usize) {
        self.0.extend([0x0F, 0x82, 0, 0, 0, 0]);
        let offset = target as i32 - self.0.len() as i32;
        let at = self.0.len() - 4;
        self.0[at..].copy_from_slice(&offset.to_le_bytes());
    }

    /// Lets a forward jump land here.
    pub fn land(&mut self, jump: usize) {
        let offset = (self.0.len() - jump) as i32;
        self.0[jump - 4..jump].copy_from_slice(&offset.to_le_bytes());
    }

    /// Leaves the function.
    pub fn leave(&mut self) {
        // vzeroupper; ret
        self.0.extend([0xC5, 0xF8, 0x77, 0xC3]);
    }
}
