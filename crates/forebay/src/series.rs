//! The counters and gauges that a metrics recorder is told: their names, labels, and where their values are read off.

use metrics::Unit;

use crate::stats::{Health, Stats};

/// Series of one name, one for each value of its own label; both are empty where it has none.
pub(crate) struct Family<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) meaning: &'static str,
    pub(crate) label: &'static str,
    pub(crate) series: &'static [(&'static str, Read<T>)],
}

/// Where a value is read off.
pub(crate) type Read<T> = fn(&Stats, &Health) -> T;

/// What only grows.
pub(crate) const COUNTERS: &[Family<u64>] = &[
    Family {
        name: "forebay_rows_accepted_total",
        unit: Unit::Count,
        meaning: "Rows that a push, submit, write or group took, and those that were in the spool; an execute counts as one.",
        label: "",
        series: &[("", |stats, _| stats.accepted)],
    },
    Family {
        name: "forebay_rows_replayed_total",
        unit: Unit::Count,
        meaning: "Of the accepted rows, those that an earlier process had left in the spool.",
        label: "",
        series: &[("", |stats, _| stats.replayed)],
    },
    Family {
        name: "forebay_rows_decided_total",
        unit: Unit::Count,
        meaning: "Rows of which it is settled what became of them.",
        label: "outcome",
        series: &[
            ("committed", |stats, _| stats.committed),
            ("superseded", |stats, _| stats.superseded),
            ("rejected", |stats, _| stats.rejected),
            ("unknown", |stats, _| stats.unknown),
            ("unwritten", |stats, _| stats.unwritten),
            ("spooled", |stats, _| stats.spooled),
        ],
    },
    Family {
        name: "forebay_rows_unaccounted_total",
        unit: Unit::Count,
        meaning: "Rows of which nothing was known when the buffer ended: always 0.",
        label: "",
        series: &[("", |stats, _| stats.unaccounted)],
    },
    Family {
        name: "forebay_rows_unchanged_total",
        unit: Unit::Count,
        meaning: "Committed rows that changed nothing.",
        label: "",
        series: &[("", |stats, _| stats.unchanged)],
    },
    Family {
        name: "forebay_transactions_total",
        unit: Unit::Count,
        meaning: "Transactions committed.",
        label: "",
        series: &[("", |stats, _| stats.transactions)],
    },
    Family {
        name: "forebay_batches_due_total",
        unit: Unit::Count,
        meaning: "Times that the rows gathered so far became due, by what made them so.",
        label: "trigger",
        series: &[
            ("count", |stats, _| stats.triggers.count),
            ("bytes", |stats, _| stats.triggers.bytes),
            ("linger", |stats, _| stats.triggers.linger),
            ("receipt", |stats, _| stats.triggers.receipt),
            ("flush", |stats, _| stats.triggers.flush),
            ("close", |stats, _| stats.triggers.close),
        ],
    },
    Family {
        name: "forebay_busy_waits_total",
        unit: Unit::Count,
        meaning: "Waits for a lock that somebody else held.",
        label: "",
        series: &[("", |stats, _| stats.busy_waits)],
    },
    Family {
        name: "forebay_retries_total",
        unit: Unit::Count,
        meaning: "Attempts that failed and were made again.",
        label: "",
        series: &[("", |stats, _| stats.retries)],
    },
    Family {
        name: "forebay_pauses_total",
        unit: Unit::Count,
        meaning: "Times that the buffer paused.",
        label: "",
        series: &[("", |stats, _| stats.pauses)],
    },
    Family {
        name: "forebay_commits_on_caller_total",
        unit: Unit::Count,
        meaning: "Attempts to commit made by the thread that waited for the row.",
        label: "",
        series: &[("", |stats, _| stats.commits_on_caller)],
    },
    Family {
        name: "forebay_buffer_full_total",
        unit: Unit::Count,
        meaning: "Times that a producer found no room.",
        label: "",
        series: &[("", |stats, _| stats.full)],
    },
    Family {
        name: "forebay_letters_unkept_total",
        unit: Unit::Count,
        meaning: "Dead letters that the file could not take.",
        label: "",
        series: &[("", |stats, _| stats.letters_unkept)],
    },
];

/// What is so at the moment.
pub(crate) const GAUGES: &[Family<f64>] = &[
    Family {
        name: "forebay_pending_rows",
        unit: Unit::Count,
        meaning: "Rows accepted and not decided yet.",
        label: "",
        series: &[("", |stats, _| stats.pending as f64)],
    },
    Family {
        name: "forebay_oldest_pending_seconds",
        unit: Unit::Seconds,
        meaning: "Age of the oldest row that is not decided yet, 0 when there is none.",
        label: "",
        series: &[("", |stats, _| stats.oldest_pending.unwrap_or_default().as_secs_f64())],
    },
    Family {
        name: "forebay_buffer_bytes",
        unit: Unit::Bytes,
        meaning: "Memory allocated for rows, at most max_buffer_bytes; with a spool only that of a replay.",
        label: "",
        series: &[("", |stats, _| stats.buffer_bytes as f64)],
    },
    Family {
        name: "forebay_spool_bytes",
        unit: Unit::Bytes,
        meaning: "Size of the spool's files, 0 without one.",
        label: "",
        series: &[("", |stats, _| stats.spool_bytes as f64)],
    },
    Family {
        name: "forebay_log_bytes",
        unit: Unit::Bytes,
        meaning: "Size of the write-ahead log in use.",
        label: "",
        series: &[("", |stats, _| stats.log_bytes as f64)],
    },
    Family {
        name: "forebay_state",
        unit: Unit::Count,
        meaning: "1 for the state that the buffer is in, 0 for the others.",
        label: "state",
        series: &[
            ("running", |_, health| matches!(health, Health::Running).into()),
            ("paused", |_, health| matches!(health, Health::Paused(_)).into()),
            ("failed", |_, health| matches!(health, Health::Failed(_)).into()),
            ("closed", |_, health| matches!(health, Health::Closed).into()),
        ],
    },
];
