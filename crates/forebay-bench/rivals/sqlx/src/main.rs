//! sqlx: a `SqlitePool` that all tasks run their statements on.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use forebay_trial::{
    Cursor, Outcome, Report, Request, Result, Settings, Start, Tally, TaskContender, TaskWorker,
    Topics, Written, locked_versions, run_tasks, serve,
};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Error, Row, SqlitePool};

/// The library's own default.
const CONNECTIONS: u32 = 10;

fn main() -> ExitCode {
    serve(run)
}

fn run(request: &Request, start: Start) -> Result<Outcome> {
    run_tasks(request, start, Rival::open(request))
}

struct Rival {
    pool: SqlitePool,
    sql: &'static str,
    sqlite: String,
    topics: &'static Topics,
    tally: Arc<Tally>,
}

impl Rival {
    async fn open(request: &Request) -> Result<Self> {
        let mut options = SqliteConnectOptions::new()
            .filename(&request.database)
            .busy_timeout(request.settings.busy_timeout);
        for (name, value) in request.settings.pragmas() {
            options = options.pragma(name, value);
        }
        let connections = request.connections(CONNECTIONS)?;
        // All are opened here, not by the first rows.
        let pool = SqlitePoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            .connect_with(options)
            .await?;
        if pool.size() < connections {
            return Err(format!("the pool has {} of {connections} connections", pool.size()).into());
        }
        check(&pool, &request.settings).await?;
        Ok(Self {
            sql: Box::leak(request.target.sql.clone().into_boxed_str()),
            sqlite: sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&pool).await?,
            pool,
            topics: Box::leak(Box::new(request.topics()?)),
            tally: Arc::default(),
        })
    }
}

/// Reads the settings of a connection back.
async fn check(pool: &SqlitePool, settings: &Settings) -> Result<()> {
    for (name, expected) in settings.read_back() {
        let row = sqlx::query(AssertSqlSafe(format!("PRAGMA {name}"))).fetch_one(pool).await?;
        let found: String = row.try_get_unchecked(0)?;
        if found != expected {
            return Err(format!("PRAGMA {name} is {found}, not {expected} as asked for").into());
        }
    }
    Ok(())
}

impl TaskContender for Rival {
    type Worker = RivalWorker;

    fn versions(&self) -> BTreeMap<String, String> {
        let mut versions = locked_versions(include_str!("../Cargo.lock"), &["sqlx", "tokio"]);
        versions.insert("sqlite".to_owned(), self.sqlite.clone());
        versions
    }

    async fn worker(&self, index: u32) -> Result<RivalWorker> {
        Ok(RivalWorker {
            pool: self.pool.clone(),
            sql: self.sql,
            cursor: self.topics.cursor(index),
            tally: Arc::clone(&self.tally),
        })
    }

    async fn finish(&self) -> Result<Report> {
        self.pool.close().await;
        Ok(self.tally.report())
    }
}

struct RivalWorker {
    pool: SqlitePool,
    sql: &'static str,
    cursor: Cursor<'static>,
    tally: Arc<Tally>,
}

impl TaskWorker for RivalWorker {
    async fn write(&mut self, number: u64) -> Result<Written> {
        let row = self.cursor.row(number);
        let statement = sqlx::query(self.sql)
            .bind(row.topic_id)
            .bind(row.status)
            .bind(row.progress)
            .bind(row.updated_at);
        let written = statement.execute(&self.pool).await.map(drop);
        self.tally.count(written, is_locked)
    }
}

/// Whether an error says that somebody else held the lock: SQLite says so, or all connections were waiting for it.
fn is_locked(error: &Error) -> bool {
    match error {
        Error::PoolTimedOut => true,
        // Extended codes of SQLITE_BUSY (5) and SQLITE_LOCKED (6).
        Error::Database(error) => error
            .code()
            .and_then(|code| code.parse::<i32>().ok())
            .is_some_and(|code| matches!(code & 0xff, 5 | 6)),
        _ => false,
    }
}
