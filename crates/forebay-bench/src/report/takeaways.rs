//! What a person takes away from a run, said only where the figures say it.

use forebay_trial::{Mode, WorkerKind};

use super::chart::Tone;
use super::notes;
use super::plots::tone;
use super::units::{time, times};
use crate::contender::DIRECT;
use crate::results::{Entry, Figures, Results};
use crate::spread::Spread;

/// The contender that the sentences are about, if it took part.
const USUAL: &str = "forebay@400";

/// The sentences, three at the most.
pub fn takeaways(results: &Results) -> Vec<String> {
    [gain_in_push(results), gain_in_await(results), unfilled(results)]
        .into_iter()
        .flatten()
        .collect()
}

/// The buffer that the sentences are about: the usual one, else the fastest of those that write every row.
fn subject(results: &Results, mode: Mode) -> Option<(&Entry, &Figures)> {
    let buffers = || {
        let of_mode = results.entries.iter().filter(move |entry| entry.mode == mode);
        let ours = of_mode
            .filter(|entry| tone(&entry.contender) == Tone::Forebay && !notes::is_merged(entry));
        ours.filter_map(|entry| Some((entry, entry.figures.as_ref()?)))
    };
    let rate = |figures: &Figures| figures.rows_per_second.median;
    buffers()
        .find(|(entry, _)| entry.contender == USUAL)
        .or_else(|| buffers().max_by(|(_, one), (_, other)| rate(one).total_cmp(&rate(other))))
}

fn called(entry: &Entry) -> String {
    match entry.batch {
        Some(batch) if entry.contender == format!("forebay@{batch}") => {
            format!("forebay with batches of {batch}")
        }
        _ => entry.contender.clone(),
    }
}

/// How many rows against `direct`, as far as the quartiles tell them apart.
fn compared(versus: &Spread, to: &str) -> String {
    if versus.lower > 1.0 || versus.upper < 1.0 {
        format!("wrote {} times as many rows as {to}", times(versus.median))
    } else {
        format!("wrote neither clearly more rows nor clearly fewer than {to}")
    }
}

fn gain_in_push(results: &Results) -> Option<String> {
    let (entry, figures) = subject(results, Mode::Push)?;
    let versus = figures.versus_direct.as_ref()?;
    let slowest = results
        .entry(Mode::Push, DIRECT)
        .and_then(|direct| direct.figures.as_ref()?.latency.max)
        .map_or_else(String::new, |max| format!(" (whose slowest write took {})", time(max)));
    let limit = figures.versus_limit.as_ref().zip(figures.limit.as_ref());
    let limit = limit.map_or_else(String::new, |(versus, limit)| {
        let percent = (versus.median * 100.0).round();
        format!(", and {percent} % of what one thread did that writes batches by hand ({limit})")
    });
    let compared = compared(versus, "a connection for each worker");
    Some(format!("{} {compared}{slowest}{limit}.", called(entry)))
}

fn gain_in_await(results: &Results) -> Option<String> {
    let (entry, figures) = subject(results, Mode::Await)?;
    let versus = figures.versus_direct.as_ref()?;
    let calls = |figures: &Figures| {
        let (half, max) = figures.latency.p50.zip(figures.latency.max)?;
        Some((time(half), time(max)))
    };
    let direct = results.entry(Mode::Await, DIRECT);
    let direct = direct.and_then(|direct| calls(direct.figures.as_ref()?));
    let latency = calls(figures).zip(direct).map_or_else(String::new, |(ours, theirs)| {
        format!(
            "; half of its calls took at most {}, the slowest {} ({DIRECT}: {} and {})",
            ours.0, ours.1, theirs.0, theirs.1
        )
    });
    let compared = compared(versus, DIRECT);
    let called = called(entry);
    Some(format!("Where each worker waits for its commit, {called} {compared}{latency}."))
}

/// Workers that wait have one row each in the buffer: that is all that a batch can be.
fn unfilled(results: &Results) -> Option<String> {
    // Processes have a buffer each, and with a rate it is the pace that decides.
    if results.worker_kind == WorkerKind::Processes || results.rate.is_some() {
        return None;
    }
    let (entry, figures) = subject(results, Mode::Await)?;
    let rows = figures.rows_per_transaction.as_ref()?.median;
    let batch = entry.batch?;
    (batch > results.workers as usize && rows < batch as f64).then(|| {
        format!(
            "{} cannot fill a batch of {batch}: its transactions had {} rows on average.",
            if results.workers == 1 {
                "A worker that waits".to_owned()
            } else {
                format!("{} workers that wait", results.workers)
            },
            times(rows)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::results;

    fn figures(results: &mut Results, mode: Mode, contender: &str) -> Option<Figures> {
        let mut entries = results.entries.iter_mut();
        let entry = entries.find(|entry| entry.mode == mode && entry.contender == contender);
        entry.and_then(|entry| entry.figures.take())
    }

    #[test]
    fn a_gain_is_told_as_far_as_the_quartiles_tell_it() {
        let mut results = results();
        assert!(takeaways(&results)[0].contains("400 wrote 33 times as many rows as a connection"));
        for (lower, upper, told) in [
            (1.1, 40.0, "wrote 33 times as many"),
            (0.9, 40.0, "wrote neither clearly more rows nor clearly fewer than"),
        ] {
            for entry in &mut results.entries {
                let versus = entry.figures.as_mut().and_then(|of| of.versus_direct.as_mut());
                versus.into_iter().for_each(|versus| (versus.lower, versus.upper) = (lower, upper));
            }
            assert!(takeaways(&results)[0].contains(told), "{:?}", takeaways(&results));
        }
    }

    #[test]
    fn nothing_is_told_that_was_not_measured() {
        let mut without_direct = results();
        for entry in &mut without_direct.entries {
            entry.figures.iter_mut().for_each(|figures| figures.versus_direct = None);
        }
        assert_eq!(takeaways(&without_direct).len(), 1, "only of how full batches are");
        let mut many = results();
        many.workers = 400;
        assert!(!takeaways(&many).iter().any(|text| text.contains("cannot fill")));
        let mut others = results();
        figures(&mut others, Mode::Push, USUAL).unwrap();
        assert!(
            takeaways(&others)[0].starts_with("forebay wrote 46 times"),
            "{:?}",
            takeaways(&others)
        );
        for entry in others.entries.iter_mut().filter(|entry| entry.contender == "forebay") {
            let figures = entry.figures.as_mut().unwrap();
            figures.details = serde_json::json!({ "stats": { "committed": 1, "superseded": 3 } });
        }
        let told = takeaways(&others);
        assert!(
            told[0].starts_with("forebay with batches of 1 wrote"),
            "not all of forebay's rows: {told:?}"
        );
        let notes = notes::notes(&others);
        assert!(
            notes.iter().any(|note| note.starts_with("forebay, push: 75.0 % of its rows")),
            "{notes:?}"
        );
        let mut processes = results();
        processes.worker_kind = WorkerKind::Processes;
        assert!(!takeaways(&processes).iter().any(|text| text.contains("cannot fill")));
        others.entries.retain(|entry| tone(&entry.contender) != Tone::Forebay);
        assert_eq!(takeaways(&others), [""; 0]);
    }
}
