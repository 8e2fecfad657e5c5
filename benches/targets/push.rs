//! 8 and 12c: what a push costs its caller: time by criterion, allocations, instructions by callgrind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use forebay::{Config, Producer, WriteBuffer};
use forebay_bench::Spread;
use forebay_benches::{Nowhere, Rows, TopicStatus, check, topics, update};
use forebay_cli::failure::{Failure, Result};
use serde::{Deserialize, Serialize};

use crate::child::Child;
use crate::conductor::Conductor;
use crate::ledger;
use crate::parts::{self, Part};
use crate::rounds::Measured;

/// Rows that are pushed where allocations or instructions are counted.
const ROWS: u64 = 10_000;
/// How often as many are pushed before.
const WARM_UPS: u64 = 4;
/// The bench in `push.rs`, and where criterion keeps what it has found.
const BENCH: [&str; 2] = ["push", "1 producer"];

/// Which pushes a child makes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ask {
    /// The folder of their spool, if they have one.
    spool: Option<PathBuf>,
}

type Results = BTreeMap<&'static str, Result<Measured>>;

/// What criterion keeps of a bench, in nanoseconds.
#[derive(Deserialize)]
struct Estimates {
    mean: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// 8a. Blocks until criterion has measured it, once whatever the rounds: it has samples of its own.
pub(crate) fn time(conductor: &Conductor<'_>) -> Result<Results> {
    let [bench, case] = BENCH;
    let name = "cargo bench, push of one producer";
    conductor.begin(name);
    let folder = conductor.folder()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["bench", "--quiet", "--package", "forebay-benches", "--bench", bench]);
    command.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    // Its last results, with which others compare theirs, stay as they are.
    command.args(["--", case]).env("CRITERION_HOME", absolute(folder.path())?);
    Child::start(name, command, &conductor.stop)?.success()?;
    let path = folder.path().join(bench).join(case).join("new").join("estimates.json");
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    let estimates = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("{} is no estimate: {error}", path.display())))?;
    Ok(Results::from([("8a", Ok(mean(&estimates)))]))
}

fn absolute(folder: &Path) -> Result<PathBuf> {
    folder
        .canonicalize()
        .map_err(|error| Failure::new(format!("cannot find {}: {error}", folder.display())))
}

/// The mean in seconds, with its confidence interval in the place of the quartiles.
fn mean(estimates: &Estimates) -> Measured {
    let Estimate { point_estimate, confidence_interval } = &estimates.mean;
    let seconds = |nanoseconds: f64| nanoseconds * 1e-9;
    let median = seconds(*point_estimate);
    let lower = seconds(confidence_interval.lower_bound);
    let upper = seconds(confidence_interval.upper_bound);
    Measured {
        spread: Spread { median, lower, upper, rounds: vec![median] },
        notes: vec!["criterion's mean for a push, and its 95 % confidence interval".to_owned()],
    }
}

/// 8b. The writer has nothing to do meanwhile, so all that is allocated is the pushes'.
pub(crate) fn allocations(conductor: &Conductor<'_>) -> Result<Results> {
    let name = "allocations of a push";
    conductor.begin(name);
    let count: u64 = conductor.ask(name, &Part::Allocations)?;
    Ok(Results::from([(
        "8b",
        once(
            count as f64,
            "once all memory has its size, while the writer has nothing to do".to_owned(),
        ),
    )]))
}

/// 8c.
pub(crate) fn instructions(conductor: &Conductor<'_>) -> Result<Results> {
    let count = count_instructions(conductor, Ask::default())?;
    let note = "callgrind, the mean of 10,000 pushes".to_owned();
    Ok(Results::from([("8c", once(count, note))]))
}

/// 12c.
pub(crate) fn instructions_with_a_spool(conductor: &Conductor<'_>) -> Result<Results> {
    let folder = conductor.folder()?;
    let ask = Ask { spool: Some(absolute(folder.path())?.join("spool")) };
    let with = count_instructions(conductor, ask)?;
    let without = count_instructions(conductor, Ask::default())?;
    let note = format!(
        "callgrind, the mean of 10,000 pushes: {with:.0} instructions; {without:.0} without"
    );
    Ok(Results::from([("12c", once(with / without, note))]))
}

/// The instructions of a push. Blocks until callgrind has counted those of many.
fn count_instructions(conductor: &Conductor<'_>, ask: Ask) -> Result<f64> {
    let name = match ask.spool {
        Some(_) => "valgrind, instructions of a push with a spool",
        None => "valgrind, instructions of a push",
    };
    conductor.begin(name);
    let arguments = [
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--log-fd=1",
        "--toggle-collect=*push_each*",
    ];
    let part = Part::Instructions(ask);
    let command = conductor.command_under(Path::new("valgrind"), &arguments, &part)?;
    let output = Child::start(name, command, &conductor.stop)?.success()?;
    let collected = collected(&output).ok_or_else(|| {
        Failure::new(format!("callgrind has told no count: {}", output.trim_end()))
    })?;
    Ok(collected as f64 / ROWS as f64)
}

/// The instructions that callgrind has collected.
fn collected(output: &str) -> Option<u64> {
    let after = output.lines().find_map(|line| line.split_once("Collected :"))?.1;
    after.trim().parse().ok().filter(|count| *count > 0)
}

fn once(number: f64, note: String) -> Result<Measured> {
    let spread = Spread::of([number]).ok_or_else(|| Failure::new("it is no number"))?;
    Ok(Measured { spread, notes: vec![note] })
}

/// Pushes these rows. It has a name of its own in the program, by which callgrind finds it.
#[inline(never)]
fn push_each(producer: &Producer, rows: &[TopicStatus<'_>]) -> forebay::Result<()> {
    rows.iter().try_for_each(|row| producer.push(row))
}

fn rows() -> Vec<TopicStatus<'static>> {
    (0..ROWS).map(update).collect()
}

/// The child's part of 8b.
pub(crate) fn count_allocations() -> parts::Result<u64> {
    // None makes a batch due.
    let config = Config {
        batch_size: 1_000_000,
        max_transaction_rows: 1_000_000,
        linger: Duration::from_secs(3_600),
        max_buffer_bytes: 1 << 30,
        ..Config::default()
    };
    let buffer = WriteBuffer::with_sink(Nowhere, config)?;
    let (producer, rows) = (topics(&buffer, Rows::All), rows());
    let pushed = warm_up(&buffer, &producer, &rows)?;
    let before = ledger::allocations();
    push_each(&producer, &rows)?;
    let count = ledger::allocations() - before;
    check(&buffer, pushed + ROWS);
    Ok(count)
}

/// The child's part of 8c and 12c, with the defaults: the writer is woken for each batch, as it is in earnest.
pub(crate) fn push_many(ask: &Ask) -> parts::Result<()> {
    let config = Config { spool: ask.spool.clone(), ..Config::default() };
    let buffer = WriteBuffer::with_sink(Nowhere, config)?;
    let (producer, rows) = (topics(&buffer, Rows::All), rows());
    let pushed = warm_up(&buffer, &producer, &rows)?;
    push_each(&producer, &rows)?;
    check(&buffer, pushed + ROWS);
    Ok(())
}

/// Pushes until all memory has the size that it will need, and returns how many rows that took.
fn warm_up(
    buffer: &WriteBuffer,
    producer: &Producer,
    rows: &[TopicStatus<'_>],
) -> forebay::Result<u64> {
    for _ in 0..WARM_UPS {
        rows.iter().try_for_each(|row| producer.push(row))?;
        // The segments take turns.
        buffer.flush()?;
    }
    Ok(WARM_UPS * ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criterions_mean_is_read_with_its_interval() {
        let text = r#"{"mean":{"confidence_interval":{"confidence_level":0.95,"lower_bound":70.0,"upper_bound":90.0},
            "point_estimate":80.0,"standard_error":1.0},"slope":null}"#;
        let spread = mean(&serde_json::from_str(text).unwrap()).spread;
        assert_eq!((spread.lower * 1e9, spread.median * 1e9), (70.0, 80.0));
        assert_eq!(spread.rounds, [spread.median]);
    }

    #[test]
    fn callgrinds_count_is_found_and_none_is_no_count() {
        let output = |count| format!("==7== Events    : Ir\n==7== Collected : {count}\n==7==\n");
        assert_eq!(collected(&output(5_800_000)), Some(5_800_000));
        assert_eq!(collected(&output(0)), None);
        assert_eq!(collected("==7== nothing"), None);
    }

    #[test]
    fn what_is_counted_is_a_push_and_all_of_them_arrive() {
        count_allocations().unwrap();
        push_many(&Ask::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        push_many(&Ask { spool: Some(folder.path().join("spool")) }).unwrap();
    }
}
