//! `fuzz-statements parse|plan`: makes statements and complains of the answers. Each statement has a number, and the same text in
//! every run with the same seed and the same corpus.

use std::{
    io::Write,
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use firesteel_fuzz::{Complaint, Generator, parse, plan::Planner};

/// As small as that of the threads that tests and servers run on.
const STACK_BYTES: usize = 2 << 20;
/// Statements of one process: a stack that overflows ends the process, and with it no more than these.
const CHUNK: u64 = 20_000;
/// A statement that takes longer does not end: so does its process.
const HANGS: Duration = Duration::from_secs(30);
const HUNG: i32 = 70;

#[derive(Parser)]
struct Options {
    what: What,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first statement.
    #[arg(long, default_value_t = 0)]
    from: u64,
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// Print the statement of this number, and no more.
    #[arg(long)]
    show: Option<u64>,
    /// Complaints after which it ends.
    #[arg(long, default_value_t = 50)]
    most: usize,
    #[arg(long, hide = true)]
    worker: bool,
    /// Say the number of each statement before it is tried.
    #[arg(long, hide = true)]
    trace: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Parse,
    Plan,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = if let Some(number) = options.show {
        generator(options.what).map(|g| println!("{}", text(&g, &options, number))).map(|()| true)
    } else if options.worker {
        in_thread(options)
    } else {
        supervise(&options)
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generator(what: What) -> Result<Generator, String> {
    let functions = Planner::new().and_then(|p| p.functions()).map_err(|e| e.to_string())?;
    let generator = Generator::new(true, functions).map_err(|e| format!("no corpus: {e}"))?;
    if what == What::Plan && generator.corpus().len() < 1000 {
        eprintln!("Spark's own tests were not downloaded (fuzz/run does that): the corpus is small");
    }
    Ok(generator)
}

fn text(generator: &Generator, options: &Options, number: u64) -> String {
    match options.what {
        What::Parse => generator.any(options.seed, number),
        What::Plan => generator.nearly_sound(options.seed, number),
    }
}

/// Starts a process for each chunk, and says which statement one of them did not survive.
fn supervise(options: &Options) -> Result<bool, String> {
    let began = Instant::now();
    let end = options.from + options.count;
    let (mut from, mut good) = (options.from, true);
    while from < end {
        let count = CHUNK.min(end - from);
        let status = worker(options, from, count, false)?;
        if !matches!(status, Some(0 | 1)) {
            // The same again, to see which it was.
            worker(options, from, count, true)?;
        }
        good &= status == Some(0);
        from += count;
        eprintln!("{} statements, {:.0} s", from - options.from, began.elapsed().as_secs_f64());
    }
    Ok(good)
}

fn worker(options: &Options, from: u64, count: u64, trace: bool) -> Result<Option<i32>, String> {
    let what = if options.what == What::Parse { "parse" } else { "plan" };
    let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
    command.args([what, "--worker", "--seed", &options.seed.to_string()]);
    command.args(["--from", &from.to_string(), "--count", &count.to_string(), "--most", &options.most.to_string()]);
    if !trace {
        return Ok(command.status().map_err(|e| e.to_string())?.code());
    }
    let output = command.arg("--trace").output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find_map(|l| l.strip_prefix("at "));
    println!("{what} {}: the process ended ({})", last.unwrap_or("?"), output.status);
    Ok(output.status.code())
}

fn in_thread(options: Options) -> Result<bool, String> {
    let thread =
        std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || work(&options)).map_err(|e| e.to_string())?;
    thread.join().map_err(|_| "the thread panicked".to_owned())?
}

fn work(options: &Options) -> Result<bool, String> {
    // Panics are told with their statements.
    std::panic::set_hook(Box::new(|info| {
        if let Some(place) = info.location() {
            println!("panic at {place}");
        }
    }));
    let generator = generator(options.what)?;
    let mut planner = Planner::new().map_err(|e| e.to_string())?;
    let current = Arc::new(AtomicU64::new(options.from));
    watch(current.clone());
    let mut complaints = 0;
    for number in options.from..options.from + options.count {
        current.store(number, Ordering::Relaxed);
        if options.trace {
            eprintln!("at {number}");
        }
        let text = text(&generator, options, number);
        let complaint = match options.what {
            What::Parse => parse::check(&text),
            What::Plan => planner.check(&text),
        };
        if let Some(Complaint { what, text, .. }) = complaint {
            complaints += 1;
            let shown: String = text.chars().take(600).collect();
            println!("{number}: {what}\n    {shown}\n");
            std::io::stdout().flush().map_err(|e| e.to_string())?;
            if complaints >= options.most {
                return Ok(false);
            }
        }
    }
    if options.what == What::Plan {
        println!("{} of {} statements have a plan", planner.plans, options.count);
    }
    Ok(complaints == 0)
}

/// Ends the process when a statement does not end.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, and a process that has nothing to clean up")]
fn watch(current: Arc<AtomicU64>) {
    std::thread::spawn(move || {
        let (mut last, mut since) = (u64::MAX, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let now = current.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > HANGS {
                println!("{now}: no end after {} s", HANGS.as_secs());
                std::process::exit(HUNG);
            }
        }
    });
}
