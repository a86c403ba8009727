//! Spoiled data files are read or refused: no panic, no abort, no endless loop, no memory over a bound.
//!
//! Mutants are made and read in processes of their own, whose address space is bounded. A mutant is a function of the
//! number of its sample and its own number, so that one that fails can be had again:
//! `SVIC_MUTANTS=SAMPLE:FROM:TO SVIC_KEEP=FOLDER cargo test -p svic-tests --test suite mutants::child`.
//! `SVIC_MUTANTS=N` makes N of them instead of the usual number.

mod absurd;
mod archive;
#[path = "../../fuzz/src/files.rs"]
mod files;
mod mutate;
mod samples;
mod structure;

use mutate::Numbers;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Mutants made when nothing else is asked.
const USUAL: usize = 20_000;
/// Mutants that one process makes before another takes over.
const RUN: usize = 400;
/// The address space of a process, in KiB. The program, its libraries and its threads take half of it.
const ADDRESS_SPACE: usize = 1 << 20;
/// The most memory that a process may ever hold, in KiB: a deflated array can hold 1,100 times its bytes, a sample of usual
/// size has 170 kB, and what is read stands beside what it is turned into, three times in all.
const RESIDENT: usize = 640 << 10;
/// A process that has not finished a mutant for so long is in a loop.
const PATIENCE: Duration = Duration::from_secs(15);
/// A sample larger than this gives fewer mutants.
const LARGE: u64 = 250_000;

const JOB: &str = "SVIC_MUTANTS";
const FOLDER: &str = "SVIC_MUTANTS_FOLDER";

/// A run of mutants of one sample.
#[derive(Clone, Debug)]
struct Job {
    sample: usize,
    from: usize,
    to: usize,
}

impl Job {
    fn parse(text: &str) -> Option<Self> {
        let all: Vec<usize> = text.split(':').filter_map(|t| t.parse().ok()).collect();
        match all[..] {
            [sample, from, to] => Some(Self { sample, from, to }),
            _ => None,
        }
    }
}

/// Not a test of its own: the process that reads mutants.
#[test]
fn child() {
    let Some(job) = std::env::var(JOB).ok().and_then(|text| Job::parse(&text)) else { return };
    let made = tempfile::tempdir().expect("a folder");
    let given = std::env::var_os(FOLDER).map_or_else(|| made.path().to_path_buf(), Into::into);
    let keep = std::env::var_os("SVIC_KEEP").map(std::path::PathBuf::from);
    let samples = samples::all(&given);
    let sample = &samples[job.sample];
    let mut report = fs::File::create(given.join(format!("report-{}", std::process::id()))).expect("a file");
    for number in job.from..job.to {
        report
            .seek(SeekFrom::Start(0))
            .and_then(|_| write!(report, "{number:>20}"))
            .expect("it can be written");
        let own = made.path().join(number.to_string());
        fs::create_dir(&own).expect("a folder");
        let mut numbers = Numbers::of(job.sample, number);
        let mutant = sample.mutant(&own, &mut numbers);
        if let Some(keep) = &keep {
            let to = keep.join(format!("{number}-{}", mutant.file_name().expect("a name").to_string_lossy()));
            let _ = fs::copy(&mutant, to);
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let read = files::reader(&mutant).is_some();
            if number.is_multiple_of(3) {
                files::copier(&mutant, &own.join("copy.h5ad"));
            }
            read
        }));
        match outcome {
            Ok(read) => println!("{}", if read { "read" } else { "refused" }),
            Err(_) => println!("panic {number}"),
        }
        fs::remove_dir_all(&own).expect("it can be removed");
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    println!("peak {}", peak.trim());
}

/// What came of some mutants.
#[derive(Default)]
struct Tally {
    read: usize,
    refused: usize,
    /// The most memory that a process held, in KiB, and the file of its mutants.
    peak: (usize, String),
    failures: Vec<String>,
}

/// Runs one job in a process; where it dies, the next process goes on behind the mutant that killed it.
fn run(mut job: Job, name: &str, folder: &Path, tally: &Mutex<Tally>) {
    while job.from < job.to {
        let script =
            format!("ulimit -c 0; ulimit -v {ADDRESS_SPACE}; exec \"$0\" --exact mutants::child --nocapture");
        let child = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().expect("the test binary knows where it is"))
            .env(JOB, format!("{}:{}:{}", job.sample, job.from, job.to))
            .env(FOLDER, folder)
            .env("RUST_BACKTRACE", "0")
            .env("HDF5_USE_FILE_LOCKING", "FALSE")
            .stdout(Stdio::from(
                fs::File::create(folder.join(format!("out-{}", job.sample))).expect("a file"),
            ))
            .stderr(Stdio::from(
                fs::File::create(folder.join(format!("err-{}", job.sample))).expect("a file"),
            ))
            .spawn();
        let mut child = child.expect("the test binary runs");
        let report = folder.join(format!("report-{}", child.id()));
        let reached = || fs::read_to_string(&report).ok().and_then(|t| t.trim().parse::<usize>().ok());
        let (mut last, mut since, mut hung) = (None, Instant::now(), false);
        let status = loop {
            if let Some(status) = child.try_wait().expect("it can be waited for") {
                break status;
            }
            std::thread::sleep(Duration::from_millis(20));
            if reached() != last {
                (last, since) = (reached(), Instant::now());
            } else if since.elapsed() > PATIENCE {
                hung = true;
                child.kill().expect("it can be ended");
            }
        };
        let text = |file: String| {
            let mut text = vec![];
            let _ = fs::File::open(folder.join(file)).and_then(|mut f| f.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        };
        let (out, err) = (text(format!("out-{}", job.sample)), text(format!("err-{}", job.sample)));
        let mut tally = tally.lock().expect("no thread panicked");
        tally.read += out.lines().filter(|l| l.ends_with("read")).count();
        tally.refused += out.lines().filter(|l| l.ends_with("refused")).count();
        let peaks = out.lines().filter_map(|l| l.strip_prefix("peak ")?.strip_suffix(" kB")?.parse().ok());
        let peak = (peaks.max().unwrap_or(0), name.to_owned());
        tally.peak = std::mem::take(&mut tally.peak).max(peak);
        let (sample, last_words) = (job.sample, err.lines().last().unwrap_or_default().to_owned());
        for line in out.lines().filter_map(|l| l.split_once("panic ")) {
            let said = err.lines().find(|l| l.contains("panicked")).unwrap_or_default();
            tally.failures.push(format!("{name} {sample}:{}: panic {said}", line.1));
        }
        if status.success() {
            return;
        }
        let at = reached().unwrap_or(job.from);
        let why = if hung { "no end".to_owned() } else { status.to_string() };
        tally.failures.push(format!("{name} {sample}:{at}: {why}: {last_words}"));
        job.from = at + 1;
    }
}

#[test]
fn every_mutant_is_read_or_refused() {
    if std::env::var(JOB).is_ok_and(|text| Job::parse(&text).is_some()) {
        return;
    }
    let wanted = std::env::var(JOB).ok().and_then(|n| n.parse().ok()).unwrap_or(USUAL);
    // Memory as a disk, where there is one.
    let shm = Path::new("/dev/shm");
    let folder = tempfile::Builder::new().tempdir_in(if shm.is_dir() { shm } else { Path::new("/tmp") });
    let folder = folder.or_else(|_| tempfile::tempdir()).expect("a folder");
    let all = samples::all(folder.path());
    let share = |size: u64| if size > LARGE { 1 } else { 4 };
    let total: usize = all.iter().map(|s| share(s.size())).sum();
    let mut jobs = vec![];
    for (sample, one) in all.iter().enumerate() {
        let n = (wanted * share(one.size())).div_ceil(total);
        jobs.extend((0..n).step_by(RUN).map(|from| Job { sample, from, to: (from + RUN).min(n) }));
    }
    let made: usize = jobs.iter().map(|j| j.to - j.from).sum();
    let (jobs, tally, began) = (Mutex::new(jobs), Mutex::new(Tally::default()), Instant::now());
    let n_workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for worker in 0..n_workers {
            let (jobs, tally, all) = (&jobs, &tally, &all);
            let own = folder.path().join(format!("worker{worker}"));
            fs::create_dir(&own).expect("a folder");
            scope.spawn(move || {
                loop {
                    let Some(job) = jobs.lock().expect("no thread panicked").pop() else { return };
                    let name =
                        all[job.sample].0.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    run(job, &name, &own, tally);
                }
            });
        }
    });
    let tally = tally.into_inner().expect("no thread panicked");
    println!(
        "{made} mutants of {} files in {:.0} s: {} read, {} refused, {} failed; at most {} MiB in memory ({})",
        all.len(),
        began.elapsed().as_secs_f64(),
        tally.read,
        tally.refused,
        tally.failures.len(),
        tally.peak.0 >> 10,
        tally.peak.1
    );
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
    assert_eq!(tally.read + tally.refused, made);
    assert!(tally.peak.0 < RESIDENT, "{} KiB, by mutants of {}", tally.peak.0, tally.peak.1);
    assert!(tally.read > made / 100 && tally.refused > made / 100);
}
