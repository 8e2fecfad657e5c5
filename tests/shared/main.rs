//! What a caller can rely on whatever the database: one source, run on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
