//! Where an application on this machine runs its plans: Spark's master URLs that need no cluster.

use std::{num::NonZeroUsize, str::FromStr};

use firesteel_plan::SparkError;

/// `local`, `local[N]`, `local[*]` or `local-cluster[executors,cores,MiB]`, as in Spark's `--master`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Master {
    /// Threads of this process; `None`: one a core of the machine.
    Local { slots: Option<NonZeroUsize> },
    /// Executors as processes of this machine: plans are cut into stages, scheduled and shuffled as on Kubernetes.
    LocalCluster { executors: u32, cores: u32, memory_mib: u32 },
}

impl Default for Master {
    fn default() -> Self {
        Self::Local { slots: None }
    }
}

impl FromStr for Master {
    type Err = SparkError;

    fn from_str(text: &str) -> Result<Self, SparkError> {
        let text = text.trim();
        let wrong = || {
            SparkError::new(
                "INVALID_CONF_VALUE.REQUIREMENT",
                "22022",
                format!(
                    "The value '{text}' in the config \"spark.master\" is invalid. It is one of local, local[N], local[*] \
                     and local-cluster[executors,cores,MiB]; on Kubernetes a job is a SparkJob, applied with kubectl."
                ),
            )
        };
        if matches!(text, "local[*]" | "") {
            return Ok(Self::default());
        }
        if text == "local" {
            return Ok(Self::Local { slots: Some(NonZeroUsize::MIN) });
        }
        let inner = |start: &str| text.strip_prefix(start)?.strip_suffix(']');
        if let Some(slots) = inner("local[") {
            return Ok(Self::Local { slots: Some(slots.trim().parse().map_err(|_| wrong())?) });
        }
        let parts = inner("local-cluster[").ok_or_else(wrong)?;
        let numbers: Vec<u32> =
            parts.split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>().ok_or_else(wrong)?;
        match numbers[..] {
            [executors, cores, memory_mib] if executors > 0 && cores > 0 && memory_mib > 0 => {
                Ok(Self::LocalCluster { executors, cores, memory_mib })
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_are_read_as_in_spark() {
        let slots = |n| Master::Local { slots: NonZeroUsize::new(n) };
        let table = [
            ("local", slots(1)),
            ("local[*]", slots(0)),
            ("local[3]", slots(3)),
            (" local-cluster[2, 1,1024] ", Master::LocalCluster { executors: 2, cores: 1, memory_mib: 1024 }),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Master>().unwrap(), expected, "{text}");
        }
        for text in ["local[0]", "local[", "yarn", "k8s://https://host", "local-cluster[2,1]", "local-cluster[0,1,1]"] {
            let error = text.parse::<Master>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
