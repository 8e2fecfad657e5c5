//! `forebay books`: makes the tables in PostgreSQL that a write buffer keeps its books in.

use std::path::Path;

use forebay_postgres::BOOKS_SQL;

use crate::failure::{Exit, Failure, Result};
use crate::kept::print;
use crate::server::{self, Server};

/// Makes the tables in the database that a URL names; without one, prints the SQL that does.
///
/// # Errors
///
/// When the database cannot be reached, or does not let this user create tables.
pub fn run(url: Option<&Path>) -> Result<Exit> {
    let Some(url) = url else {
        print(BOOKS_SQL)?;
        return Ok(Exit::Success);
    };
    if !server::is_url(url) {
        let message = "this is not the URL of a PostgreSQL database; in SQLite the books are made as they are needed";
        return Err(Failure::of_arguments(message).hint("postgres://USER@HOST:PORT/DATABASE"));
    }
    let server = Server::of(url);
    server.create_books()?;
    print(&format!("{}: the tables _forebay and _forebay_rejected are there\n", server.name))?;
    Ok(Exit::Success)
}
