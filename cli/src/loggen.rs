//! Makes web-server access logs: the input of `examples/server-health`.
//!
//! Lines are in Apache's combined format with the virtual host in front (`vhost_combined`). The same options and seed
//! give the same bytes. The logs tell a story that the example can find: some servers and paths are much busier than others, traffic
//! follows the hours of the day, incidents raise the share of 5xx answers of a server or of a whole service (after a slow start, and
//! with echoes in the services that call it), and about one line in two hundred is damaged.

mod model;
mod render;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};

use model::Model;
use render::Renderer;

/// What to make. `size` and `lines` exclude each other; without either, 1 MiB is made.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Bytes of logs in all (a suffix K, M or G multiplies by 1024, 1024² or 1024³); the last line of each file may go beyond it
    #[arg(long, value_parser = parse_size, conflicts_with = "lines")]
    pub size: Option<u64>,
    /// Lines in all
    #[arg(long)]
    pub lines: Option<u64>,
    /// Files the lines are spread over, in order of time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub files: u32,
    /// Days the logs cover
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub days: u32,
    /// First day
    #[arg(long, default_value = "2026-03-01")]
    pub start: NaiveDate,
    /// Damaged lines in 10,000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub malformed: u32,
    /// Other seeds give other logs
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub files: u32,
    pub lines: u64,
    pub bytes: u64,
    /// Damaged lines, counted in `lines` too
    pub malformed: u64,
}

/// Reads `1500`, `64K`, `200M` or `10G` as a number of bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1_u64),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{text}` is not a size such as 1500, 64K, 200M or 10G"))?;
    number.checked_mul(unit).ok_or_else(|| format!("`{text}` is more than 16 EiB"))
}

/// How much one file gets: bytes or lines.
#[derive(Debug, Clone, Copy)]
enum Amount {
    Bytes(u64),
    Lines(u64),
}

impl Amount {
    /// The part of `self` that is done, from 0 to 1.
    fn share(self, bytes: u64, lines: u64) -> f64 {
        let (done, of) = match self {
            Amount::Bytes(of) => (bytes, of),
            Amount::Lines(of) => (lines, of),
        };
        if of == 0 { 1.0 } else { (done as f64 / of as f64).min(1.0) }
    }

    /// The amount of file `index` of `files`.
    fn of_file(self, index: u32, files: u32) -> Amount {
        let part = |total: u64| {
            let edge = |i: u32| (u128::from(total) * u128::from(i) / u128::from(files)) as u64;
            edge(index + 1) - edge(index)
        };
        match self {
            Amount::Bytes(total) => Amount::Bytes(part(total)),
            Amount::Lines(total) => Amount::Lines(part(total)),
        }
    }
}

/// Writes `<out>/logs/access-NNNN.log` and `<out>/servers.csv`, and the folders where they are missing.
///
/// # Errors
/// What the file system answers, and `InvalidInput` when `start` and `days` leave the calendar.
pub fn generate(options: &Options, out: &Path) -> io::Result<Summary> {
    let start = first_second(options)?;
    let model = Model::new(options.seed, start, options.days);
    let amount = match (options.lines, options.size) {
        (Some(lines), _) => Amount::Lines(lines),
        (None, size) => Amount::Bytes(size.unwrap_or(1 << 20)),
    };
    let logs = out.join("logs");
    std::fs::create_dir_all(&logs)?;
    std::fs::write(out.join("servers.csv"), model.servers_csv())?;

    let mut summary = Summary { files: options.files, lines: 0, bytes: 0, malformed: 0 };
    for index in 0..options.files {
        let file = BufWriter::with_capacity(1 << 20, File::create(logs.join(format!("access-{index:04}.log")))?);
        let made = write_file(&model, options, amount.of_file(index, options.files), index, file)?;
        summary.lines += made.lines;
        summary.bytes += made.bytes;
        summary.malformed += made.malformed;
    }
    Ok(summary)
}

fn first_second(options: &Options) -> io::Result<DateTime<Utc>> {
    let out_of_calendar = || io::Error::new(io::ErrorKind::InvalidInput, "the days asked for leave the calendar");
    options.start.checked_add_days(chrono::Days::new(u64::from(options.days))).ok_or_else(out_of_calendar)?;
    Ok(options.start.and_hms_opt(0, 0, 0).ok_or_else(out_of_calendar)?.and_utc())
}

fn write_file(
    model: &Model,
    options: &Options,
    amount: Amount,
    index: u32,
    mut out: impl Write,
) -> io::Result<Summary> {
    let mut renderer = Renderer::new(model, options.seed, index, options.malformed);
    let mut made = Summary { files: 1, lines: 0, bytes: 0, malformed: 0 };
    let mut line = Vec::with_capacity(1024);
    loop {
        let share = amount.share(made.bytes, made.lines);
        if share >= 1.0 {
            break;
        }
        let second = model.second_at((f64::from(index) + share) / f64::from(options.files));
        line.clear();
        made.malformed += u64::from(renderer.line(second, &mut line));
        out.write_all(&line)?;
        made.bytes += line.len() as u64;
        made.lines += 1;
    }
    out.flush()?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            size: Some(200_000),
            lines: None,
            files: 3,
            days: 2,
            start: NaiveDate::from_ymd_opt(2026, 3, 1).unwrap(),
            malformed: 50,
            seed: 7,
        }
    }

    fn everything(dir: &Path) -> Vec<u8> {
        let mut all = std::fs::read(dir.join("servers.csv")).unwrap();
        for index in 0..3 {
            all.extend(std::fs::read(dir.join(format!("logs/access-{index:04}.log"))).unwrap());
        }
        all
    }

    #[test]
    fn same_seed_same_bytes_and_another_seed_others() {
        let (a, b, c) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let made = generate(&options(), a.path()).unwrap();
        assert_eq!(made, generate(&options(), b.path()).unwrap());
        generate(&Options { seed: 8, ..options() }, c.path()).unwrap();
        assert_eq!(everything(a.path()), everything(b.path()));
        assert_ne!(everything(a.path()), everything(c.path()));
    }

    #[test]
    fn the_logs_in_the_repository_are_made_by_this_code() {
        let dir = tempfile::tempdir().unwrap();
        generate(&Options { size: Some(1800 << 10), files: 4, seed: 1, ..options() }, dir.path()).unwrap();
        let committed = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../examples/server-health/data");
        for file in ["servers.csv", "logs/access-0000.log", "logs/access-0003.log"] {
            let (made, kept) =
                (std::fs::read(dir.path().join(file)).unwrap(), std::fs::read(committed.join(file)).unwrap());
            assert!(
                made == kept,
                "{file}: run `firesteel loggen --size 1800K --days 2 --files 4 examples/server-health/data`"
            );
        }
    }

    #[test]
    fn makes_the_amount_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let made = generate(&options(), dir.path()).unwrap();
        assert!((200_000..203_000).contains(&made.bytes), "{made:?}");
        let made = generate(&Options { size: None, lines: Some(1000), ..options() }, dir.path()).unwrap();
        assert_eq!(made.lines, 1000);
        let text: usize = (0..3)
            .map(|i| std::fs::read(dir.path().join(format!("logs/access-{i:04}.log"))).unwrap())
            .map(|bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
            .sum();
        assert!((1000..1010).contains(&text), "a damaged line may hold a line break of its own: {text}");
    }

    #[test]
    fn damage_is_as_frequent_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        let none = generate(&Options { malformed: 0, ..options() }, dir.path()).unwrap();
        assert_eq!(none.malformed, 0);
        let some = generate(&Options { malformed: 50, size: Some(4 << 20), ..options() }, dir.path()).unwrap();
        let in_ten_thousand = some.malformed * 10_000 / some.lines;
        assert!((35..65).contains(&in_ten_thousand), "{some:?}");
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("1500"), Ok(1500));
        assert_eq!(parse_size("64K"), Ok(65536));
        assert_eq!(parse_size("2G"), Ok(2 << 30));
        assert!(parse_size("2 cats").is_err());
        assert!(parse_size("").is_err());
        assert!(parse_size("99999999999G").is_err());
    }
}
