//! What the tests share: sinks that can be held, made to fail and asked afterwards, and scratch databases.

mod database;
mod gate;
mod log;
mod mount;

pub use database::Scratch;
pub use gate::{Call, Gate, Written};
pub use log::Log;
pub use mount::Mount;
