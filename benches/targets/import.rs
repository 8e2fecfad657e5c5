//! 11: `forebay load` beside the `sqlite3` shell's `.import` and a script, by turns: what `benches/import` measures.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use forebay_cli::failure::{Failure, Result, because};
use serde::Deserialize;

use crate::child::Child;
use crate::conductor::Conductor;
use crate::rounds::{Ingredient, Measured, Plain, Round, Shown, gathered};

const ROWS: u32 = 1_000_000;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/import");

/// What `benches/import` keeps: seconds, one of each round.
#[derive(Deserialize)]
struct Times {
    rows: u32,
    forebay: Vec<f64>,
    import: Vec<f64>,
    script: Vec<f64>,
}

/// Measures both. Blocks until all rounds are over.
pub(crate) fn measure(
    conductor: &Conductor<'_>,
) -> Result<BTreeMap<&'static str, Result<Measured>>> {
    let name = "benches/import";
    conductor.begin(name);
    let folder = conductor.folder()?;
    let json = folder.path().join("import.json");
    let absent = |error: std::io::Error| {
        Failure::new(format!(
            "cannot find {}: {}",
            conductor.args.forebay.display(),
            because(&error)
        ))
        .hint("name it with --forebay")
    };
    let mut command = Command::new(SCRIPT);
    command.arg("--forebay").arg(conductor.args.forebay.canonicalize().map_err(absent)?);
    command.arg("--dir").arg(folder.path()).arg("--json").arg(&json);
    command.args([ROWS.to_string(), conductor.args.rounds.to_string()]);
    Child::start(name, command, &conductor.stop)?.success()?;
    let told = |error: &dyn std::fmt::Display| {
        Failure::new(format!("cannot read what {name} has kept: {error}"))
    };
    let text = fs::read_to_string(&json).map_err(|error| told(&error))?;
    let times: Times = serde_json::from_str(&text).map_err(|error| told(&error))?;
    Ok(gathered(rounds(&times)))
}

fn rounds(times: &Times) -> Vec<Round> {
    let rate = |name: &str, seconds: f64| {
        Ingredient::new(name, f64::from(times.rows) / seconds, Plain::Rate)
    };
    let others = times.import.iter().zip(&times.script);
    let round = |(ours, (import, script)): (&f64, (&f64, &f64))| {
        let beside =
            |name: &str, other| Ok(Shown::ratio(rate("forebay load", *ours), rate(name, other)));
        Round::from([
            ("11a", beside(".import", *import)),
            ("11b", beside("python, commits of 400 rows", *script)),
        ])
    };
    times.forebay.iter().zip(others).map(round).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_of_rates_is_that_of_times_the_other_way_round() {
        let text = r#"{"rows":100,"forebay":[1.0,2.0],"import":[1.5,1.0],"script":[4.0,8.0]}"#;
        let measured = gathered(rounds(&serde_json::from_str(text).unwrap()));
        let rounds = |id| measured[id].clone().unwrap().spread.rounds;
        assert_eq!((rounds("11a"), rounds("11b")), (vec![1.5, 0.5], vec![4.0, 4.0]));
    }
}
