//! The sizes of one map output's blocks in little memory.
//!
//! As Spark: a byte a block on a logarithmic scale; with more than 2,000 reducers, which blocks are empty, their mean
//! size, and the sizes of the large ones.
//!
//! At 100,000 maps and 10,000 reducers there are a thousand million blocks: 8 GB as plain numbers. A summary has a bit a
//! block and eight bytes for each large one, 1.25 KB a map without skew: 125 MB in all. Up to 2,000 reducers it is a byte a
//! block: 200 MB for 100,000 maps. The rest of a map's entry is 16 bytes, and a task's some 50.

use std::{f32::consts::LN_2, sync::LazyLock};

/// Base of the logarithmic scale: 255 steps reach 1.1^254, some 32 GB, each 10 % above the one before.
const BASE: f64 = 1.1;

/// With more reducers than this, only a summary is kept.
const MAX_EXACT: usize = 2000;

/// In a summary, blocks this many times larger than the mean are kept by their own size (skew is in them).
const LARGE: u64 = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BlockSizes {
    Exact(Box<[u8]>),
    Summary { mean: u8, empty: Box<[u64]>, large: Box<[(u32, u8)]>, len: u32 },
}

impl Default for BlockSizes {
    fn default() -> Self {
        Self::Exact(Box::default())
    }
}

impl BlockSizes {
    pub fn new(sizes: &[u64]) -> Self {
        let log2 = &*LOG2;
        if sizes.len() <= MAX_EXACT {
            return Self::Exact(sizes.iter().map(|size| compress(log2, *size)).collect());
        }
        let mut empty = vec![0u64; sizes.len().div_ceil(64)].into_boxed_slice();
        let (mut sum, mut count) = (0u64, 0u64);
        for (index, size) in sizes.iter().enumerate() {
            if *size == 0 {
                empty[index / 64] |= 1 << (index % 64);
            } else {
                sum = sum.saturating_add(*size);
                count += 1;
            }
        }
        let threshold = (sum / count.max(1)).saturating_mul(LARGE);
        let large: Box<[(u32, u8)]> = sizes
            .iter()
            .enumerate()
            .filter(|(_, size)| **size > threshold)
            .map(|(index, size)| {
                sum -= *size;
                count -= 1;
                (index as u32, compress(log2, *size))
            })
            .collect();
        Self::Summary { mean: compress(log2, sum / count.max(1)), empty, large, len: sizes.len() as u32 }
    }

    pub fn get(&self, reducer: u32) -> u64 {
        match self {
            Self::Exact(sizes) => sizes.get(reducer as usize).map_or(0, |size| decompress(*size)),
            Self::Summary { mean, empty, large, len } => {
                let index = reducer as usize;
                if reducer >= *len || empty[index / 64] & (1 << (index % 64)) != 0 {
                    return 0;
                }
                match large.binary_search_by_key(&reducer, |(reducer, _)| *reducer) {
                    Ok(at) => decompress(large[at].1),
                    Err(_) => decompress((*mean).max(1)),
                }
            }
        }
    }

    /// Adds each block's size to its reducer's total.
    pub fn add_to(&self, totals: &mut [u64]) {
        if let Self::Exact(sizes) = self {
            let known = &*SIZES;
            for (total, size) in totals.iter_mut().zip(sizes) {
                *total = total.saturating_add(known[usize::from(*size)]);
            }
            return;
        }
        for (reducer, total) in totals.iter_mut().enumerate() {
            *total = total.saturating_add(self.get(reducer as u32));
        }
    }
}

/// Base-2 logarithms of 1 + (i + 1) / 256: a shuffle has a hundred million blocks, and a table is several times faster
/// than the logarithm of each.
static LOG2: LazyLock<[f32; 256]> =
    LazyLock::new(|| std::array::from_fn(|index| ((index + 1) as f64 / 256.0).ln_1p() as f32 / LN_2));

/// Never 0 but for an empty block, so that no reader skips rows.
fn compress(log2: &[f32; 256], size: u64) -> u8 {
    if size < 2 {
        return size as u8;
    }
    // A double's exponent is the whole part of the logarithm, its next eight bits say the rest.
    let bits = (size as f64).to_bits();
    let exponent = (bits >> 52) as f32 - 1023.0;
    let log = exponent + log2[(bits >> 44 & 0xff) as usize];
    (log * (LN_2 / BASE.ln() as f32)).ceil().clamp(1.0, 255.0) as u8
}

fn decompress(size: u8) -> u64 {
    SIZES[usize::from(size)]
}

/// The size that each byte stands for.
static SIZES: LazyLock<[u64; 256]> =
    LazyLock::new(|| std::array::from_fn(|size| if size == 0 { 0 } else { BASE.powi(size as i32) as u64 }));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_sizes_are_within_a_step_and_only_empty_blocks_are_zero() {
        let sizes = [0, 1, 2, 3, 100, 1_000, 123_456, 1 << 30, 30 << 30];
        let kept = BlockSizes::new(&sizes);
        for (reducer, size) in sizes.iter().enumerate() {
            let got = kept.get(reducer as u32);
            assert_eq!(got == 0, *size == 0);
            assert!(
                got as f64 >= *size as f64 * 0.9 && got as f64 <= (*size as f64 * 1.11).max(*size as f64 + 1.0),
                "{size} {got}"
            );
        }
    }

    #[test]
    fn summary_keeps_empty_and_large_blocks() {
        let mut sizes = vec![1_000u64; 5_000];
        sizes[7] = 0;
        sizes[4_999] = 50_000_000;
        let kept = BlockSizes::new(&sizes);
        assert!(matches!(kept, BlockSizes::Summary { .. }));
        assert_eq!(kept.get(7), 0);
        assert!((900..1_110).contains(&kept.get(8)));
        assert!((45_000_000..56_000_000).contains(&kept.get(4_999)));
        assert_eq!(kept.get(5_000), 0);
    }

    #[test]
    fn summary_of_equal_or_absent_sizes() {
        let kept = BlockSizes::new(&vec![1; 3_000]);
        assert!((0..3_000).all(|reducer| kept.get(reducer) > 0));
        let kept = BlockSizes::new(&vec![0; 3_000]);
        assert!((0..3_000).all(|reducer| kept.get(reducer) == 0));
    }
}
