//! The only folder that names a mutex, condvar or thread: parking_lot and std, or loom's and shuttle's models of them.
//!
//! With `--cfg forebay_loom` the same code runs under loom, with `--cfg forebay_shuttle` under shuttle.

#[cfg(forebay_loom)]
mod loom;
#[cfg(any(forebay_loom, forebay_shuttle))]
mod model;
#[cfg(not(any(forebay_loom, forebay_shuttle)))]
mod real;
#[cfg(forebay_shuttle)]
mod shuttle;

#[cfg(any(forebay_loom, forebay_shuttle))]
pub(crate) use model::*;
#[cfg(not(any(forebay_loom, forebay_shuttle)))]
pub(crate) use real::*;

/// The time after `timeout`; `None`, for ever, when no clock will show it.
pub(crate) fn after(timeout: std::time::Duration) -> Option<std::time::Instant> {
    now().checked_add(timeout)
}
