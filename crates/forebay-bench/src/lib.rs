//! The measuring instrument of forebay: what batching is worth, on which disk, with which batch size.
//!
//! A [`Plan`] says which [`Workload`] is written, by how many workers, and who takes part; [`run`] has every
//! [`Contender`] write it, round by round and in changing order, and gives [`Results`]: medians with quartiles, ratios within one
//! round, and whether each database held afterwards what had been acknowledged.
//!
//! Every contender is a program that runs one trial at a time and speaks the protocol of [`forebay_trial`]. Those
//! that come with forebay are all [`trial_program`]; anybody's own takes part as [`Contender::rival`].

mod contender;
mod contenders;
mod databases;
mod error;
mod figures;
pub mod host;
mod plan;
pub mod postgres;
mod program;
pub mod report;
pub mod results;
mod rows;
mod run;
mod scratch;
mod sink;
mod spread;
mod threshold;
mod trial;
pub mod tune;
pub mod untouched;
mod verify;
mod workload;

pub use contender::{Contender, Program, RowSize};
pub use contenders::main as trial_program;
pub use error::{Error, ErrorKind, Result};
pub use forebay_trial::{Mode, Synchronous, WorkerKind};
pub use plan::Plan;
pub use program::Stop;
pub use results::Results;
pub use run::{Event, run};
pub use sink::Sink;
pub use spread::Spread;
pub use threshold::{Shortfall, Threshold};
pub use workload::{RowKind, Workload};
