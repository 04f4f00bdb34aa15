//! Which records a schema is found from.

use firesteel_plan::{SparkError, SparkResult};

use super::Reading;

/// The share of records that the option `samplingRatio` asks for, spread evenly: any schema is found again from the same files.
pub struct Sample {
    ratio: f64,
    seen: f64,
}

impl Sample {
    pub fn new(reading: &Reading) -> SparkResult<Self> {
        let written = reading.get("samplingratio").unwrap_or("1.0");
        match written.trim().parse::<f64>() {
            Ok(ratio) if ratio > 0.0 && ratio.is_finite() => Ok(Self { ratio: ratio.min(1.0), seen: 0.0 }),
            _ => Err(SparkError::new(
                "INVALID_OPTION_VALUE",
                "42616",
                format!("The option samplingRatio cannot be '{written}': it should be greater than 0."),
            )
            .param("option", "samplingRatio")),
        }
    }

    /// Whether the next record is among them. The first always is.
    pub fn takes(&mut self) -> bool {
        let before = self.seen;
        self.seen += self.ratio;
        before == 0.0 || self.seen.floor() > before.floor()
    }
}
