//! What only PostgreSQL has: the tests' own server, connections that break, servers that come and go.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod bad_input;
mod columns;
mod doubt;
mod ended;
mod execute;
mod ground;
mod hosts;
mod keys;
mod late;
mod replies;
mod secrecy;
mod spool;
mod tls;
mod types;
