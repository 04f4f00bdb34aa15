//! `exp` as Java's `StrictMath` computes it, to the last bit: other libraries round some results the other way.

/// ln 2 in two parts, the first of which has few enough bits for its multiples to be exact.
const LN2: (f64, f64) = (6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10);
const HALF_LN2: f64 = std::f64::consts::LN_2 / 2.0;

/// Of the power series of x·coth(x/2) in x².
const SERIES: [f64; 5] = [
    1.666_666_666_666_660_2e-1,
    -2.777_777_777_701_559_3e-3,
    6.613_756_321_437_934e-5,
    -1.653_390_220_546_525_2e-6,
    4.138_136_797_057_238_5e-8,
];

pub(super) fn exp(x: f64) -> f64 {
    if !(-745.133_219_101_941_1..=709.782_712_893_384).contains(&x) {
        return match x {
            _ if x.is_nan() => x,
            _ if x > 0.0 => f64::INFINITY,
            _ => 0.0,
        };
    }
    if x.abs() < 2f64.powi(-28) {
        return 1.0 + x;
    }
    // x = k·ln 2 + r
    let k = match x.abs() {
        near if near <= HALF_LN2 => 0.0,
        near if near < 3.0 * HALF_LN2 => 1f64.copysign(x),
        _ => (std::f64::consts::LOG2_E * x + 0.5f64.copysign(x)).trunc(),
    };
    let (high, low) = (x - k * LN2.0, k * LN2.1);
    let r = high - low;
    let square = r * r;
    let c = r - square * SERIES.iter().rev().fold(0.0, |sum, term| term + square * sum);
    if k == 0.0 {
        return 1.0 - ((r * c) / (c - 2.0) - r);
    }
    let y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    // In two steps, where 2^k alone is out of range.
    let half = (k / 2.0).trunc() as i32;
    y * 2f64.powi(half) * 2f64.powi(k as i32 - half)
}

pub(super) fn cosh(x: f64) -> f64 {
    let x = x.abs();
    if x < HALF_LN2 {
        let t = x.exp_m1();
        let w = 1.0 + t;
        return if x < 2f64.powi(-55) { w } else { 1.0 + (t * t) / (w + w) };
    }
    if x < 22.0 {
        let t = exp(x);
        return 0.5 * t + 0.5 / t;
    }
    let half = exp(0.5 * x);
    if x <= 709.0 { 0.5 * exp(x) } else { 0.5 * half * half }
}

#[cfg(test)]
mod tests {
    use super::{cosh, exp};

    #[test]
    fn the_last_bit_is_java_s() {
        assert_eq!(exp(1.0), 2.718_281_828_459_045_5);
        assert_eq!(exp(-1.0), 0.367_879_441_171_442_33);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(710.0), f64::INFINITY);
        assert_eq!(exp(-746.0), 0.0);
        assert!(exp(f64::NAN).is_nan());
        assert_eq!(cosh(-1.0), 1.543_080_634_815_244);
        assert_eq!(cosh(f64::NEG_INFINITY), f64::INFINITY);
    }
}
