//! What only PostgreSQL has: the tests' own server, connections that break, servers that come and go.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod bad_input;
mod ground;
mod keys;
mod tls;
mod types;
