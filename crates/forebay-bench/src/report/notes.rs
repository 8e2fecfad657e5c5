//! Notes below a table: what a reader would else get wrong.

use std::collections::BTreeMap;

use forebay_trial::{Mode, WorkerKind};

use super::is_limit;
use super::units::{grouped, listed};
use crate::results::{Entry, Figures, Results, SAMPLES_FOR_P999, Verdict};

/// The notes of a run; void and failed contenders first.
pub(super) fn notes(results: &Results) -> Vec<String> {
    let mut notes = verdicts(results);
    notes.extend(locks(results));
    notes.extend(kinds(results));
    notes.extend(buffers(results));
    notes.extend(idle(results));
    notes.extend(merged(results));
    notes.extend(super::timing::missed_rate(results));
    let mut same: Vec<_> = results
        .entries
        .iter()
        .filter(|entry| entry.mode == Mode::Push && !is_limit(entry))
        .filter(|entry| is_same_trial(results, &entry.contender))
        .map(|entry| entry.contender.as_str())
        .collect();
    same.dedup();
    if !same.is_empty() {
        let of =
            if same.len() == 1 { "one trial of it stands" } else { "one trial of each stands" };
        notes.push(format!(
            "A call returns after its commit in both modes, and {of} for both: {}.",
            listed(&same)
        ));
    }
    if results.entries.iter().any(|entry| figures(entry).is_some_and(|of| of.limit.is_some())) {
        notes.push(
            "of limit: against one thread that writes by hand, in transactions of the same size (of 400 rows for contenders without batches)."
                .to_owned(),
        );
    }
    if results.server.is_some() {
        notes.extend(once_in_a_statement(results));
        notes.push(
            "CPU s and memory are those of the contender's process, without the server's."
                .to_owned(),
        );
    }
    let is_rare = |figures: &Figures| (1..SAMPLES_FOR_P999).contains(&figures.latency.samples);
    if results.entries.iter().filter_map(figures).any(is_rare) {
        notes.push(format!("p99.9 is told from {} calls on.", grouped(SAMPLES_FOR_P999 as f64)));
    }
    notes.extend(super::timing::sampled(results));
    notes
}

fn figures(entry: &Entry) -> Option<&Figures> {
    entry.figures.as_ref()
}

/// Whether what is told of a contender in both modes is one trial.
fn is_same_trial(results: &Results, contender: &str) -> bool {
    let rounds = |mode| {
        let figures = results.entry(mode, contender)?.figures.as_ref()?;
        Some(&figures.rows_per_second.rounds)
    };
    rounds(Mode::Push).is_some_and(|rounds_of_push| Some(rounds_of_push) == rounds(Mode::Await))
}

/// An entry's name, with its mode where that says something, and `None` for the second time that a trial is told.
pub(super) fn name(results: &Results, entry: &Entry) -> Option<String> {
    if is_same_trial(results, &entry.contender) {
        return (entry.mode == Mode::Push).then(|| entry.contender.clone());
    }
    Some(format!("{}, {}", entry.contender, entry.mode.name()))
}

fn verdicts(results: &Results) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for entry in &results.entries {
        let (what, why) = match &entry.verdict {
            Verdict::Valid => continue,
            Verdict::Void(why) => ("is void", why),
            Verdict::Failed(why) => ("failed", why),
        };
        let other = if entry.mode == Mode::Push { Mode::Await } else { Mode::Push };
        let is_both = results
            .entry(other, &entry.contender)
            .is_some_and(|other| other.verdict == entry.verdict);
        let mode = if is_both { String::new() } else { format!(" in {}", entry.mode.name()) };
        let note = format!("{} {what}{mode}: {why}", entry.contender);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

/// Who met locks, gave rows up, or starved.
fn locks(results: &Results) -> Vec<String> {
    let note = |entry: &Entry| {
        let figures = figures(entry)?;
        let counts = [
            (figures.lock_errors, "lock errors"),
            (figures.retries, "retries"),
            (figures.given_up, "rows given up"),
        ];
        let mut parts: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", grouped(count as f64)))
            .collect();
        if figures.starved_workers > 0 {
            parts.push(format!(
                "{} of {} workers without a row in a round",
                figures.starved_workers, results.workers
            ));
        }
        let name = if parts.is_empty() { None } else { name(results, entry) };
        name.map(|name| format!("{name}: {}.", listed(&parts)))
    };
    results.entries.iter().filter_map(note).collect()
}

/// Who could not be what the workers were meant to be.
fn kinds(results: &Results) -> Vec<String> {
    let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in &results.entries {
        let Some(figures) = figures(entry) else { continue };
        let kind = figures.worker_kind;
        let names = others.entry(kind.name()).or_default();
        let is_other = kind != results.worker_kind && !is_limit(entry);
        if is_other && !names.contains(&entry.contender.as_str()) {
            names.push(&entry.contender);
        }
    }
    let told = others.into_iter().filter(|(_, names)| !names.is_empty());
    told.map(|(kind, names)| {
        let whose = if names.len() == 1 { "Its workers" } else { "Their workers" };
        format!("{whose} are {kind}: {}.", listed(&names))
    })
    .collect()
}

/// How large the buffers of processes are.
fn buffers(results: &Results) -> Option<String> {
    let is_buffer = |entry: &Entry| entry.contender.starts_with("forebay");
    let is_told =
        results.worker_kind == WorkerKind::Processes && results.entries.iter().any(is_buffer);
    is_told.then(|| "forebay: each process has a buffer, and its part of the room.".to_owned())
}

/// Who committed nothing within the time of a trial.
fn idle(results: &Results) -> Vec<String> {
    let idle = |entry: &Entry| {
        let rounds = &figures(entry)?.rows_per_second.rounds;
        let name = if rounds.contains(&0.0) { name(results, entry) } else { None };
        name.map(|name| {
            format!("{name}: in a round no transaction ended in time; make trials longer with --seconds.")
        })
    };
    results.entries.iter().filter_map(idle).collect()
}

/// What a statement of many rows leaves out on a server.
fn once_in_a_statement(results: &Results) -> Option<String> {
    let has_many = |entry: &Entry| is_limit(entry) || entry.contender.starts_with("forebay");
    let is_told = results.workload.keys.is_some() && results.entries.iter().any(has_many);
    is_told.then(|| {
        "PostgreSQL takes a key once in a statement: of the rows with one key limit and forebay write the newest alone, with which \
         the others count as committed."
            .to_owned()
    })
}

/// The part of an entry's rows that newer ones of their keys superseded before they were written, in its last trial.
fn superseded(entry: &Entry) -> f64 {
    let stats = figures(entry).map(|figures| &figures.details["stats"]);
    let count = |name| stats.and_then(|stats| stats[name].as_f64()).unwrap_or(0.0);
    let (committed, superseded) = (count("committed"), count("superseded"));
    if superseded > 0.0 { superseded / (committed + superseded) } else { 0.0 }
}

/// Whether rows of an entry were left out because newer ones took their place.
pub(super) fn is_merged(entry: &Entry) -> bool {
    superseded(entry) > 0.0
}

/// Whose rows were not all written.
fn merged(results: &Results) -> Vec<String> {
    let merged = |entry: &Entry| {
        let name = if is_merged(entry) { name(results, entry) } else { None };
        name.map(|name| {
            format!(
                "{name}: {:.1} % of its rows were not written, for a newer one of the same key was there before it was their turn; they \
                 count as committed with that one.",
                100.0 * superseded(entry)
            )
        })
    };
    results.entries.iter().filter_map(merged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::results;

    #[test]
    fn what_a_reader_would_get_wrong_is_told_once() {
        let mut results = results();
        let mut entries = results.entries.iter_mut().filter_map(|entry| entry.figures.as_mut());
        let rollback = entries.next().unwrap();
        rollback.rows_per_second.rounds[1] = 0.0;
        rollback.worker_kind = WorkerKind::Tasks;
        let notes = notes(&results);
        let told = |what: &str| notes.iter().filter(|note| note.contains(what)).count();
        assert_eq!(told("rollback, push: in a round no transaction ended in time"), 1, "{notes:?}");
        assert_eq!(told("Its workers are tasks: rollback."), 1, "{notes:?}");
        assert_eq!((told("other is void: key 7"), told("broken failed in await: ")), (1, 1));
        assert_eq!(told("65 of 80 workers"), 1, "{notes:?}");
        assert_eq!(told("both modes, and one trial of each stands for both: direct and retry."), 1);
    }
}
