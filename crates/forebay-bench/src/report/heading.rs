//! What was done, in words.

use forebay_trial::{Mode, Settings, WorkerKind};

use super::units;
use crate::results::{Disk, Host, Results, ServerFacts};
use crate::spread::Spread;

/// What was done, in a few lines.
pub(super) fn heading(results: &Results) -> Vec<String> {
    vec![work(results), settings(results), modes(results)]
}

/// Who wrote what, and for how long.
fn work(results: &Results) -> String {
    let workload = &results.workload;
    let fat = match workload.status_bytes {
        0 => String::new(),
        length => format!(" ({} of text in each row)", units::bytes(length as f64)),
    };
    let rate = results.rate.map_or_else(String::new, |rate| {
        format!(" to write {} rows/s together", units::grouped(rate))
    });
    let kind = match (results.workers, results.worker_kind) {
        (1, WorkerKind::Threads) => "thread".to_owned(),
        (1, WorkerKind::Tasks) => "task".to_owned(),
        (1, WorkerKind::Processes) => "process".to_owned(),
        (workers, WorkerKind::Processes) if results.processes < workers => {
            format!("threads in {} processes", results.processes)
        }
        (_, kind) => kind.name().to_owned(),
    };
    format!(
        "{}: {}{fat}; {} {kind}{rate}; {} of {} for each contender",
        workload.name,
        workload.description,
        results.workers,
        rounds(results),
        units::time(results.seconds),
    )
}

fn rounds(results: &Results) -> String {
    match (results.rounds, results.rounds_planned) {
        (1, 1) => "1 round".to_owned(),
        (rounds, planned) if rounds == planned => format!("{rounds} rounds"),
        (rounds, planned) => format!("{rounds} of {planned} rounds"),
    }
}

/// The disk, and what is equal for all.
fn settings(results: &Results) -> String {
    let parts = [
        disk(&results.disk),
        results.server.as_ref().map(server),
        results.settings.as_ref().map(|of| files(results, of)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn disk(disk: &Disk) -> Option<String> {
    let flush = |flush: &Spread| format!(", {} a flush", units::time(flush.median));
    let flush = disk.flush_seconds.as_ref().map_or_else(String::new, flush);
    disk.is_known().then(|| format!("{}{flush}", disk.filesystem))
}

/// How a server is set.
fn server(facts: &ServerFacts) -> String {
    let settings =
        ["synchronous_commit", "fsync", "full_page_writes", "shared_buffers", "max_wal_size"];
    let told = settings.map(|name| format!("{name} {}", facts.setting(name)));
    let ServerFacts { version, place, transport, .. } = facts;
    format!("PostgreSQL {version}, {place}, {transport}; {}", told.join(", "))
}

/// How files are set.
fn files(results: &Results, settings: &Settings) -> String {
    let has = |is: &dyn Fn(&str) -> bool| results.entries.iter().any(|entry| is(&entry.contender));
    let besides = if has(&|name| name == "rollback") { " (not rollback)" } else { "" };
    let but = if has(&|name| name.ends_with("+default-checkpoint")) {
        " (not those with +default-checkpoint)"
    } else {
        ""
    };
    format!(
        "durability {}; all with {}{besides}, busy timeout {}, cache {}, checkpoint at {} pages{but}",
        settings.synchronous.name(),
        settings.journal_mode.to_uppercase(),
        units::time(settings.busy_timeout.as_secs_f64()),
        units::bytes(f64::from(settings.cache_kib) * 1024.0),
        units::grouped(f64::from(settings.checkpoint_pages)),
    )
}

/// What a call is, in the modes that were run.
fn modes(results: &Results) -> String {
    let has = |mode| results.entries.iter().any(|entry| entry.mode == mode);
    let told = |mode| match mode {
        Mode::Push => "push: a call hands its row over, nobody waits for the commit",
        Mode::Await => "await: a call returns after its row's commit",
    };
    let modes = [Mode::Push, Mode::Await].into_iter().filter(|mode| has(*mode));
    modes.map(told).collect::<Vec<_>>().join("; ")
}

/// The machine, names and values.
pub fn machine(begun_at: &str, host: &Host, disk: &Disk) -> Vec<(&'static str, String)> {
    let memory = host
        .memory_bytes
        .map_or_else(String::new, |bytes| format!(", {} of memory", units::bytes(bytes as f64)));
    let flush = |flush: &Spread| {
        format!(
            "{} (quartiles {})",
            units::time(flush.median),
            units::between(flush.lower, flush.upper, units::time)
        )
    };
    let mut facts = vec![
        ("begun", begun_at.to_owned()),
        ("machine", format!("{}, {} cores{memory}, {}", host.processor, host.cores, host.system)),
    ];
    facts.extend(disk.is_known().then(|| ("filesystem", disk.filesystem.clone())));
    facts.extend(disk.flush_seconds.as_ref().map(|of| ("a flush of 4 KiB", flush(of))));
    facts
}

/// The machine and the versions.
pub(super) fn circumstances(results: &Results) -> Vec<(&'static str, String)> {
    let mut versions: Vec<String> = results
        .entries
        .iter()
        .filter_map(|entry| entry.figures.as_ref())
        .flat_map(|figures| &figures.versions)
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    versions.sort();
    versions.dedup();
    let mut facts = machine(&results.begun_at, &results.host, &results.disk);
    facts.extend(results.server.as_ref().map(|of| ("server", server(of))));
    facts.extend([
        ("forebay", results.forebay.clone()),
        ("libraries", versions.join(", ")),
        ("warm-up", units::time(results.warm_up_seconds)),
        ("seed", results.seed.to_string()),
    ]);
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{results, results_of_server};

    #[test]
    fn a_heading_says_what_a_server_was_and_nothing_of_sqlite() {
        let results = results_of_server();
        let told = heading(&results)[1].clone();
        assert_eq!(
            told,
            "ext4, 373 µs a flush; PostgreSQL 15.14, a throw-away server, unix socket; synchronous_commit on, fsync on, \
             full_page_writes on, shared_buffers 128MB, max_wal_size 1GB"
        );
    }

    #[test]
    fn a_heading_says_who_wrote_what_and_how_long() {
        let mut results = results();
        results.workers = 1;
        results.worker_kind = WorkerKind::Processes;
        results.processes = 1;
        results.rate = Some(2_000.0);
        results.workload.status_bytes = 1_024;
        results.rounds = 2;
        assert_eq!(
            work(&results),
            "hot: 400 topics, updated over and over (1 KiB of text in each row); 1 process to write 2,000 \
             rows/s together; 2 of 3 rounds of 100 ms for each contender"
        );
    }
}
