//! The recommended settings, as TOML that says what it is.

use std::fmt::Write as _;

use forebay::Config;
use forebay_bench::Mode;
use forebay_bench::tune::Tuning;
use humantime::format_duration;

use super::args::Tune;
use crate::words::{count, grouped};

/// What the settings are called in the command that repeats them.
const FILE: &str = "forebay.toml";

/// The settings that differ from the default or were chosen, each with its reason; `forebay::Config` loads them.
/// `repeat` is the command that tries them again.
pub(super) fn toml(tuning: &Tuning, repeat: &str) -> String {
    let (config, default) = (&tuning.advice.config, Config::default());
    let mut text = Text::default();
    heading(&mut text, tuning, repeat);
    text.note("Rows that make a batch due.");
    text.set("batch_size", config.batch_size);
    text.note("Rows in one transaction at the most, also when more have gathered.");
    text.set("max_transaction_rows", config.max_transaction_rows);
    if config.max_row_bytes != default.max_row_bytes {
        text.note("So that the largest of the rows fits.");
        text.set("max_row_bytes", config.max_row_bytes);
    }
    text.note("");
    text.note(&match tuning.mode {
        Mode::Push => of_linger(tuning),
        Mode::Await => "The default; it does not matter where all wait.".to_owned(),
    });
    text.set("linger", format_args!("\"{}\"", format_duration(config.linger)));
    text.note("");
    text.note("What a commit survives; tune again with --durability to change it.");
    text.set("durability", format_args!("\"{}\"", tuning.synchronous.name()));
    text.note("");
    text.note(&of_room(tuning));
    text.set("max_buffer_bytes", config.max_buffer_bytes);
    if config.max_batch_bytes != default.max_batch_bytes {
        text.note("Bytes that make a batch due: a quarter of the buffer at the most.");
        text.set("max_batch_bytes", config.max_batch_bytes);
    }
    text.0
}

/// The command that tries the settings again, with what they were found with.
pub(super) fn repeat(args: &Tune, tuning: &Tuning) -> String {
    let name = |name: &str| shlex::try_quote(name).map_or_else(|_| name.to_owned(), Into::into);
    let mut command = format!(
        "forebay bench --db {} --table {} --contender direct,limit@{} --config {FILE} --mode {} --workers {} --keys {} \
         --durability {}",
        name(&args.db.to_string_lossy()),
        name(&args.table),
        tuning.advice.config.batch_size,
        tuning.mode.name(),
        args.workers,
        args.keys,
        tuning.synchronous.name()
    );
    let mut add = |option: String| {
        command.push(' ');
        command.push_str(&option);
    };
    if args.insert {
        add("--insert".to_owned());
    }
    if let Some(seconds) = args.seconds {
        add(format!("--seconds {seconds}"));
    }
    if let Some(folder) = &args.dir {
        add(format!("--dir {}", name(&folder.to_string_lossy())));
    }
    command
}

fn heading(text: &mut Text, tuning: &Tuning, repeat: &str) {
    let (mode, does) = match tuning.mode {
        Mode::Push => ("push", "push"),
        Mode::Await => ("await", "wait for their commits"),
    };
    text.note(&format!(
        "By forebay tune --{mode}, {}, {}.",
        tuning.begun_at, tuning.host.processor
    ));
    text.note(&format!("{}.", tuning.workload));
    let mut reached = format!(
        "{} that {does}: {} rows/s with these settings at full speed",
        count(tuning.workers.into(), "worker"),
        whole(tuning.rows_per_second())
    );
    if let Some(compared) = tuning.comparison() {
        let _ = write!(reached, ", {compared}");
    }
    text.note(&(reached + "."));
    if let Some(shortfall) = tuning.shortfall() {
        text.note(shortfall);
    }
    if let Some(unmet) = &tuning.advice.unmet {
        text.note(&format!("These do NOT keep the budget: {unmet}."));
    }
    text.note(&format!("To try them again: {repeat}"));
    text.note("");
}

/// What the linger does, at which pace.
fn of_linger(tuning: &Tuning) -> String {
    let mut told = "How long the first row of a batch waits for company.".to_owned();
    let linger = tuning.advice.config.linger.as_secs_f64();
    let seen = tuning.lingers.as_ref().and_then(|lingers| {
        let chosen =
            lingers.points.iter().find(|point| (point.linger_seconds - linger).abs() < 1e-9)?;
        Some((lingers.rate, chosen.delay.p99?))
    });
    if let Some((rate, p99)) = seen {
        let _ = write!(
            told,
            " At {} rows/s 99 of 100 rows were committed within {:.1} ms.",
            whole(rate),
            p99 * 1e3
        );
    }
    told
}

/// How much the buffer holds, in rows and in time.
fn of_room(tuning: &Tuning) -> String {
    let rows = tuning.advice.config.max_buffer_bytes / tuning.row_bytes.max(1);
    if tuning.mode == Mode::Await {
        let rows = grouped(rows as u64);
        return format!("Room for about {rows} such rows; who waits has one there at the most.");
    }
    let rate = tuning.rows_per_second().max(1.0);
    format!(
        "Room for about {} such rows, what comes in {:.1} s at {} rows/s: so long may the database be locked.",
        grouped(rows as u64),
        rows as f64 / rate,
        whole(rate)
    )
}

/// A rate, rounded as everywhere.
fn whole(rate: f64) -> String {
    grouped(rate.round() as u64)
}

/// Lines of TOML.
#[derive(Default)]
struct Text(String);

impl Text {
    /// A comment; nothing in it ends its line.
    fn note(&mut self, note: &str) {
        if !note.is_empty() {
            self.0.push_str("# ");
        }
        for character in note.chars() {
            if character.is_control() {
                self.0.extend(character.escape_debug());
            } else {
                self.0.push(character);
            }
        }
        self.0.push('\n');
    }

    fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        // A string takes whatever is written to it.
        let _ = writeln!(self.0, "{name} = {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lingers_are_written_as_settings_read_them() {
        for millis in [0, 1, 50, 1_500] {
            let linger = std::time::Duration::from_millis(millis);
            let config: Config =
                toml::from_str(&format!("linger = \"{}\"", format_duration(linger))).unwrap();
            assert_eq!(config.linger, linger);
        }
    }

    #[test]
    fn a_comment_is_one_line_whatever_is_in_it() {
        let mut text = Text::default();
        text.note("rows of a\nbatch_size = 1\r\u{7f}\0 µs");
        text.set("batch_size", 7);
        assert_eq!(text.0, "# rows of a\\nbatch_size = 1\\r\\u{7f}\\0 µs\nbatch_size = 7\n");
        assert_eq!(toml::from_str::<Config>(&text.0).unwrap().batch_size, 7);
    }
}
