//! `readers`: those who query while others write, each over a connection of its own.

use std::collections::BTreeMap;

use forebay::rusqlite::{Connection, OpenFlags};
use forebay_trial::{Contender, Report, Request, Result, Worker, Written, quoted};

use super::connection::versions;

/// Opens a connection for each reader.
pub(super) struct Reading {
    request: Request,
}

impl Reading {
    pub(super) fn new(request: &Request) -> Self {
        Self { request: request.clone() }
    }
}

impl Contender for Reading {
    type Worker<'a> = Reader;

    fn versions(&self) -> BTreeMap<String, String> {
        versions()
    }

    fn worker(&self, _: u32) -> Result<Reader> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.request.database, flags)?;
        connection.busy_timeout(self.request.settings.busy_timeout)?;
        let columns = &self.request.target.columns;
        let table = quoted(&self.request.target.table);
        let (key, status) = (quoted(&columns[0]), quoted(&columns[1]));
        Ok(Reader {
            connection,
            one: format!("SELECT {status} FROM {table} WHERE {key} = ?1"),
            several: format!(
                "SELECT count(DISTINCT {status}) FROM (SELECT {status} FROM {table} LIMIT 400)"
            ),
        })
    }

    fn finish(&self) -> Result<Report> {
        Ok(Report::default())
    }
}

/// A reader, which asks for one row, and every tenth time for a sum over 400.
pub(super) struct Reader {
    connection: Connection,
    one: String,
    several: String,
}

impl Worker for Reader {
    fn write(&mut self, number: u64) -> Result<Written> {
        if number.is_multiple_of(10) {
            let mut statement = self.connection.prepare_cached(&self.several)?;
            statement.query_row([], |row| row.get::<_, i64>(0))?;
        } else {
            let mut statement = self.connection.prepare_cached(&self.one)?;
            statement.exists([(number % 400) as i64])?;
        }
        Ok(Written::Done)
    }
}
