//! The recommended settings, as TOML that says what it is.

use std::fmt::Write as _;

use forebay::Config;
use forebay_bench::Mode;
use forebay_bench::tune::Tuning;
use humantime::format_duration;

use crate::words::grouped;

/// The settings that differ from the default or were chosen, each with its reason; `forebay::Config` loads them.
pub(super) fn toml(tuning: &Tuning) -> String {
    let (config, default) = (&tuning.advice.config, Config::default());
    let (mode, does) = match tuning.mode {
        Mode::Push => ("push", "push"),
        Mode::Await => ("await", "wait for their commits"),
    };
    let rate = tuning.advice.rows_per_second;
    let workers = tuning.workers;
    let mut text = String::new();
    let mut line = |line: String| {
        // A string takes whatever is written to it.
        let _ = writeln!(text, "{line}");
    };
    line(format!("# By forebay tune --{mode}, {}, {}.", tuning.begun_at, tuning.host.processor));
    line(format!("# {}.", tuning.workload));
    line(format!(
        "# {workers} workers that {does}: {} rows/s with these batches.",
        grouped(rate as u64)
    ));
    if let Some(unmet) = &tuning.advice.unmet {
        line(format!("# These do NOT keep the budget: {unmet}."));
    }
    line(String::new());
    line("# Rows that make a batch due, and rows in one transaction at the most, also when more have gathered.".to_owned());
    line(format!("batch_size = {}", config.batch_size));
    line(format!("max_transaction_rows = {}", config.max_transaction_rows));
    if config.max_batch_bytes != default.max_batch_bytes {
        line(format!(
            "# So that batches of such rows (about {} bytes each) fit.",
            tuning.row_bytes
        ));
        line(format!("max_batch_bytes = {}", config.max_batch_bytes));
    }
    line(String::new());
    line(match tuning.mode {
        Mode::Push => "# How long the first row of a batch waits for company.".to_owned(),
        Mode::Await => "# The default; it does not matter where all wait.".to_owned(),
    });
    line(format!("linger = \"{}\"", format_duration(config.linger)));
    line(String::new());
    line("# What a commit survives; tune again with --durability to change it.".to_owned());
    line(format!("durability = \"{}\"", tuning.synchronous.name()));
    line(String::new());
    let rows = config.max_buffer_bytes / tuning.row_bytes.max(1);
    line(format!(
        "# Room for about {} such rows: more than comes in a second, should the database be locked for one.",
        grouped(rows as u64)
    ));
    line(format!("max_buffer_bytes = {}", config.max_buffer_bytes));
    text
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
}
