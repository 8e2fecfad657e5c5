//! What the tests share: sinks that can be held, made to fail and asked afterwards, and scratch databases.

mod accepted;
mod around;
mod database;
mod either;
mod gate;
mod ledger;
mod log;
mod mount;
mod outage;
mod postgres;
mod spooled;
mod told;
mod trial;

pub use accepted::{Accepted, PUSHERS, Phase};
pub use around::{Around, Surrounded};
pub use database::Scratch;
pub use either::{Database, FromValue, Kind as SinkKind, Session, lingering};
pub use gate::{Call, Gate, Written};
pub use ledger::{Entry, EntryKind, Ledger, PARTS, Step};
pub use log::Log;
pub use mount::{FailingDisk, Mount};
pub use outage::Outage;
pub use postgres::{Cluster, Fate, Postgres, Proxy};
pub use spooled::{LeftOver, Pushed, Spooled, spool_of, spooling};
pub use told::{Answer, Kind, Told};
pub use trial::{Line, Seen, Trial, adds_up, is_full};

/// Settings of the smallest buffer that there can be, which is soon full.
pub fn smallest() -> forebay::Config {
    forebay::Config {
        batch_size: 1,
        max_transaction_rows: 5,
        max_buffer_bytes: 4_096,
        max_batch_bytes: 1_024,
        max_row_bytes: 1_024,
        ..forebay::Config::default()
    }
}
