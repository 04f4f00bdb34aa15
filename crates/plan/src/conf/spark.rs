//! Keys that real Spark knows: which of them Firesteel does not read is told and not passed over.

use super::{SparkConf, keys};

/// Recorded from Spark by `oracle/record-configuration-keys`, one a line, sorted.
const NAMES: &str = include_str!("spark-keys.txt");

/// Keys that are read by what they begin with.
pub const FAMILIES: [(&str, &str); 3] = [
    (
        "spark.hadoop.fs.s3a.",
        "Access to S3, with Hadoop's names: endpoint, region, path style, credentials. Credentials belong into the environment or a Secret.",
    ),
    (
        "spark.kubernetes.",
        "Those of the table above; every other one is refused with the field of the SparkJob that takes its place.",
    ),
    ("spark.firesteel.", "Free for variables of SQL text: `${spark.firesteel.x}`."),
];

/// The names of Spark's own keys.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.lines().filter(|line| !line.is_empty())
}

/// Whether this is a key of Spark's that nothing here reads.
pub fn is_unread(name: &str) -> bool {
    let read =
        keys::ALL.iter().any(|key| key.name == name) || FAMILIES.iter().any(|(begin, _)| name.starts_with(begin));
    !read && NAMES.lines().any(|line| line == name)
}

impl SparkConf {
    /// The keys of Spark's that are set and that nothing reads.
    pub fn unread(&self) -> Vec<&str> {
        self.iter().map(|(key, _)| key).filter(|key| is_unread(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_without_effect_are_told() {
        let mut conf = SparkConf::new();
        for key in ["spark.rdd.compress", "spark.sql.shuffle.partitions", "my.own.key", "spark.firesteel.x"] {
            conf.set(key, "7").unwrap();
        }
        assert_eq!(conf.unread(), ["spark.rdd.compress"]);
    }

    #[test]
    fn our_keys_under_sparks_names_are_sparks() {
        // Local properties and keys that Spark reads by their bare names are no entries of its configuration, and of SQL it
        // shows only those that are not internal.
        let elsewhere =
            ["spark.master", "spark.local.dir", "spark.scheduler.pool", "spark.jobGroup.id", "spark.job.tags"];
        let known = |name: &str| {
            name.starts_with("spark.sql.")
                || name.starts_with("spark.shuffle.io.")
                || elsewhere.contains(&name)
                || names().any(|line| line == name)
        };
        let unknown: Vec<&str> =
            keys::ALL.iter().map(|key| key.name).filter(|name| name.starts_with("spark.") && !known(name)).collect();
        assert_eq!(unknown, Vec::<&str>::new());
    }
}
