//! PostgreSQL for the tests: a server that comes and goes with them, and a database in it for each.

mod cluster;
mod database;
mod programs;
mod proxy;
mod session;
mod wire;

pub use cluster::Cluster;
pub use database::Postgres;
pub use proxy::{Fate, Proxy};

/// What every database has from the beginning.
const IN_EVERY_DATABASE: &str = forebay_postgres::BOOKS_SQL;
