//! Generators of random numbers, bit for bit those of the JVM's libraries that Spark uses.

use crate::text::murmur3;

/// What Java's `Random` makes of random bits, for generators that have `next(bits)`.
macro_rules! below {
    () => {
        /// Between 0 and a positive bound, which is not included.
        pub(crate) fn next_below(&mut self, bound: i32) -> i32 {
            if bound & bound.wrapping_neg() == bound {
                return ((i64::from(bound) * i64::from(self.next(31))) >> 31) as i32;
            }
            loop {
                let bits = self.next(31);
                let value = bits % bound;
                // The last, cut off stretch of numbers would favour small ones.
                if bits.wrapping_sub(value).wrapping_add(bound - 1) >= 0 {
                    return value;
                }
            }
        }
    };
}

macro_rules! double {
    () => {
        pub(crate) fn next_double(&mut self) -> f64 {
            let high = i64::from(self.next(26)) << 27;
            (high + i64::from(self.next(27))) as f64 / (1i64 << 53) as f64
        }
    };
}

/// `java.util.Random`
#[derive(Debug, Clone)]
pub(crate) struct JavaRandom {
    state: u64,
}

impl JavaRandom {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;

    pub(crate) fn new(seed: i64) -> Self {
        Self { state: (seed as u64 ^ Self::MULTIPLIER) & Self::MASK }
    }

    fn next(&mut self, bits: u32) -> i32 {
        self.state = self.state.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xB) & Self::MASK;
        (self.state >> (48 - bits)) as i32
    }

    below!();
    double!();
}

/// Spark's `XORShiftRandom`
#[derive(Debug, Clone)]
pub(crate) struct XorShift {
    state: u64,
    /// Normal numbers come in pairs.
    gaussian: Option<f64>,
}

impl XorShift {
    pub(crate) fn new(seed: i64) -> Self {
        const ARRAY_SEED: i32 = 0x3c07_4a61;
        let bytes = seed.to_be_bytes();
        let low = murmur3(&bytes, ARRAY_SEED);
        let high = murmur3(&bytes, low);
        Self { state: (u64::from(high as u32) << 32) | u64::from(low as u32), gaussian: None }
    }

    fn next(&mut self, bits: u32) -> i32 {
        let mut next = self.state ^ (self.state << 21);
        next ^= next >> 35;
        next ^= next << 4;
        self.state = next;
        (next & ((1 << bits) - 1)) as i32
    }

    pub(crate) fn next_int(&mut self) -> i32 {
        self.next(32)
    }

    pub(crate) fn next_gaussian(&mut self) -> f64 {
        if let Some(other) = self.gaussian.take() {
            return other;
        }
        loop {
            let (a, b) = (2.0 * self.next_double() - 1.0, 2.0 * self.next_double() - 1.0);
            let s = a * a + b * b;
            if s < 1.0 && s != 0.0 {
                let scale = (-2.0 * s.ln() / s).sqrt();
                self.gaussian = Some(b * scale);
                return a * scale;
            }
        }
    }

    double!();
}

/// The Mersenne Twister with 32-bit words, seeded as Apache Commons Math does.
#[derive(Debug, Clone)]
pub(crate) struct MersenneTwister {
    words: Vec<u32>,
    at: usize,
}

impl MersenneTwister {
    const N: usize = 624;
    const M: usize = 397;

    pub(crate) fn new(seed: i64) -> Self {
        let key = [(seed as u64 >> 32) as u32, seed as u32];
        let mut words = vec![0u32; Self::N];
        let mut last = 19_650_218u32;
        words[0] = last;
        for (i, word) in words.iter_mut().enumerate().skip(1) {
            last = 1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
            *word = last;
        }
        let mixed = |words: &[u32], i: usize| words[i - 1] ^ (words[i - 1] >> 30);
        let (mut i, mut j) = (1, 0);
        for _ in 0..Self::N {
            let m = mixed(&words, i).wrapping_mul(1_664_525);
            words[i] = (words[i] ^ m).wrapping_add(key[j]).wrapping_add(j as u32);
            i += 1;
            j = (j + 1) % key.len();
            if i == Self::N {
                words[0] = words[Self::N - 1];
                i = 1;
            }
        }
        for _ in 0..Self::N - 1 {
            let m = mixed(&words, i).wrapping_mul(1_566_083_941);
            words[i] = (words[i] ^ m).wrapping_sub(i as u32);
            i += 1;
            if i == Self::N {
                words[0] = words[Self::N - 1];
                i = 1;
            }
        }
        words[0] = 0x8000_0000;
        Self { words, at: Self::N }
    }

    fn next(&mut self, bits: u32) -> i32 {
        if self.at == Self::N {
            for k in 0..Self::N {
                let y = (self.words[k] & 0x8000_0000) | (self.words[(k + 1) % Self::N] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.words[k] = self.words[(k + Self::M) % Self::N] ^ (y >> 1) ^ odd;
            }
            self.at = 0;
        }
        let mut y = self.words[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^= y >> 18;
        (y >> (32 - bits)) as i32
    }

    below!();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Spark answers: `rand(0)`, `randn(0)` (its golden files), and `new java.util.Random(1).nextInt(2147483647)`.
    #[test]
    fn draws_what_the_jvm_draws() {
        assert_eq!(XorShift::new(0).next_double(), 0.7604953758285915);
        assert_eq!(XorShift::new(0).next_gaussian(), 1.6034991609278433);
        assert_eq!(JavaRandom::new(1).next_below(i32::MAX), 0x5D8D_6AB9);
    }
}
