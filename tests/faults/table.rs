//! Puts what the faults have shown into a document: `fault-table FOLDER DOCUMENT`.
//!
//! The folder is that of `FAULTS_TABLE`. The table goes between the document's two marks. Exit code 1 when a fault of the
//! table was not tried, or something was not as promised.

use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use support::Line;

/// The faults that the table must have.
const FAULTS: std::ops::RangeInclusive<u8> = 1..=33;
const BEGIN: &str = "<!-- faults: begin -->\n";
const END: &str = "<!-- faults: end -->";

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    let _ = writeln!(io::stderr(), "fault-table: {error}");
    ExitCode::FAILURE
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [folder, document] = &arguments[..] else {
        return Err("usage: fault-table FOLDER DOCUMENT".into());
    };
    let lines = read(Path::new(folder))?;
    let text = fs::read_to_string(document)?;
    let (before, rest) =
        text.split_once(BEGIN).ok_or("the document has no mark for the beginning")?;
    let (_, after) = rest.split_once(END).ok_or("the document has no mark for the end")?;
    fs::write(document, format!("{before}{BEGIN}{}{END}{after}", table(&lines)))?;

    let tried: BTreeSet<u8> = lines.iter().map(|line| line.number).collect();
    let missing: Vec<u8> = FAULTS.filter(|number| !tried.contains(number)).collect();
    let broken = lines.iter().filter(|line| !line.is_as_promised()).count();
    if missing.is_empty() && broken == 0 {
        return Ok(());
    }
    Err(format!(
        "faults that were not tried: {missing:?}; lines that are not as promised: {broken}"
    )
    .into())
}

fn read(folder: &Path) -> Result<Vec<Line>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder)? {
        lines.push(serde_json::from_slice::<Line>(&fs::read(entry?.path())?)?);
    }
    lines.sort_by(|a, b| (a.number, &a.fault).cmp(&(b.number, &b.fault)));
    Ok(lines)
}

fn table(lines: &[Line]) -> String {
    let mut text =
        "| # | fault | how it was produced | rounds | rows | lost | twice | hung | verdict |\n\
                    |--:|---|---|--:|--:|--:|--:|--:|---|\n"
            .to_owned();
    for line in lines {
        let Line { number, fault, how, rounds, rows, lost, twice, hung, failed } = line;
        let rows = thousands(*rows);
        let verdict = match failed {
            _ if line.is_as_promised() => "held".to_owned(),
            0 => "**broken**".to_owned(),
            _ => format!("**broken**: {failed} failed"),
        };
        text.push_str(&format!(
            "| {number} | {fault} | {how} | {rounds} | {rows} | {lost} | {twice} | {hung} | {verdict} |\n"
        ));
    }
    text
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let grouped: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits are ASCII"))
        .collect();
    grouped.join(",")
}
