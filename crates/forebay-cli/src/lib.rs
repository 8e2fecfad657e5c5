//! The command `forebay`: its parts, for the binary, the tests and the fuzzer. Not an interface to build on.

pub mod args;
pub mod bench;
pub mod books;
pub mod copy;
pub mod doctor;
pub mod failure;
pub mod kept;
pub mod load;
pub mod screen;
mod server;
pub mod signals;
pub mod spool;
mod sql;
pub mod tune;
pub mod unreadable;
pub mod words;
