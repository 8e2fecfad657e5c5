//! A database on a PostgreSQL server.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A database on a PostgreSQL server, and the schema in it that a trial has its table in.
#[derive(Clone, Serialize, Deserialize)]
pub struct Server {
    /// How to connect, perhaps with a password. Its `options` put the schema in the search path.
    pub url: String,
    /// The server's version.
    pub version: String,
}

impl fmt::Debug for Server {
    /// Without the URL, which may have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("version", &self.version).finish_non_exhaustive()
    }
}
