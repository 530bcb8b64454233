//! The generator of `java.util.Random`, whose algorithm its documentation fixes: with the same seed the data is the same as
//! that of a loader written in Java.

/// A linear congruential generator with 48 bits of state.
pub struct JavaRandom {
    seed: u64,
}

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const MASK: u64 = (1 << 48) - 1;

impl JavaRandom {
    /// `new Random(seed)`.
    pub fn new(seed: u64) -> Self {
        Self { seed: (seed ^ MULTIPLIER) & MASK }
    }

    /// `nextInt()` as the 32 bits that `%08x` prints.
    pub fn bits(&mut self) -> u32 {
        self.next(32)
    }

    /// `nextInt(bound)`: from 0 to below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound.is_power_of_two() {
            let scaled = (u64::from(bound) * u64::from(self.next(31))) >> 31;
            return u32::try_from(scaled).unwrap_or_default();
        }
        loop {
            let bits = self.next(31);
            let value = bits % bound;
            // The last, incomplete stretch of values would favour small ones.
            if bits - value <= i32::MAX as u32 - (bound - 1) {
                return value;
            }
        }
    }

    fn next(&mut self, bits: u32) -> u32 {
        self.seed = (self.seed.wrapping_mul(MULTIPLIER).wrapping_add(0xB)) & MASK;
        u32::try_from(self.seed >> (48 - bits)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a Java virtual machine prints for `new Random(42)`.
    #[test]
    fn it_is_javas_sequence() {
        let mut random = JavaRandom::new(42);
        let drawn: Vec<u32> = (0..5).map(|_| random.below(100)).collect();
        assert_eq!(drawn, [30, 63, 48, 84, 70]);
        let mut random = JavaRandom::new(42);
        assert_eq!(random.bits().cast_signed(), -1_170_105_035);
    }
}
