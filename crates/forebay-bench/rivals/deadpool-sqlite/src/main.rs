//! deadpool-sqlite: a pool of connections from which each task takes one for each row.

#[path = "../../connection.rs"]
mod connection;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use deadpool_sqlite::{Config, Hook, HookError, InteractError, Object, Pool, Runtime, rusqlite};
use forebay_trial::{
    Cursor, Outcome, Report, Request, Result, Settings, Start, Tally, TaskContender, TaskWorker,
    Topics, Written, locked_versions, run_tasks, serve,
};

fn main() -> ExitCode {
    serve(run)
}

fn run(request: &Request, start: Start) -> Result<Outcome> {
    run_tasks(request, start, Rival::open(request))
}

struct Rival {
    pool: Pool,
    sql: Arc<str>,
    topics: &'static Topics,
    tally: Arc<Tally>,
}

impl Rival {
    async fn open(request: &Request) -> Result<Self> {
        let config = Config::new(&request.database);
        let default = u32::try_from(config.get_pool_config().max_size)?;
        let pool = config
            .builder(Runtime::Tokio1)?
            .max_size(request.connections(default)? as usize)
            .post_create(set(request.settings.clone()))
            .build()?;
        let settings = request.settings.clone();
        let check = move |open: &mut rusqlite::Connection| connection::check(open, &settings);
        // All are opened here, not by the first rows.
        let opened = take_all(&pool).await?;
        opened[0].interact(check).await.map_err(message)??;
        drop(opened);
        Ok(Self {
            pool,
            sql: request.target.sql.as_str().into(),
            topics: Box::leak(Box::new(request.topics()?)),
            tally: Arc::default(),
        })
    }
}

/// Takes all connections of the pool at once.
async fn take_all(pool: &Pool) -> Result<Vec<Object>> {
    let mut taken = Vec::new();
    for _ in 0..pool.status().max_size {
        taken.push(pool.get().await?);
    }
    Ok(taken)
}

/// Sets each new connection of the pool.
fn set(settings: Settings) -> Hook {
    Hook::async_fn(move |new, _| {
        let settings = settings.clone();
        Box::pin(async move {
            let set = new.interact(move |new| connection::set(new, &settings)).await;
            set.map_err(|error| HookError::message(message(error)))?.map_err(HookError::Backend)
        })
    })
}

/// A panic on the thread of a connection; the error itself cannot go to other threads.
fn message(error: InteractError) -> String {
    error.to_string()
}

impl TaskContender for Rival {
    type Worker = RivalWorker;

    fn versions(&self) -> BTreeMap<String, String> {
        let lock = include_str!("../Cargo.lock");
        let packages = ["deadpool", "deadpool-sqlite", "rusqlite", "tokio"];
        let mut versions = locked_versions(lock, &packages);
        versions.insert("sqlite".to_owned(), rusqlite::version().to_owned());
        versions
    }

    async fn worker(&self, index: u32) -> Result<RivalWorker> {
        Ok(RivalWorker {
            pool: self.pool.clone(),
            sql: Arc::clone(&self.sql),
            cursor: self.topics.cursor(index),
            tally: Arc::clone(&self.tally),
        })
    }

    async fn finish(&self) -> Result<Report> {
        // The pool closes them in the background, where nobody can wait for that.
        for open in take_all(&self.pool).await? {
            open.interact(|open| connection::close(open)).await.map_err(message)??;
        }
        self.pool.close();
        Ok(self.tally.report())
    }
}

struct RivalWorker {
    pool: Pool,
    sql: Arc<str>,
    cursor: Cursor<'static>,
    tally: Arc<Tally>,
}

impl TaskWorker for RivalWorker {
    async fn write(&mut self, number: u64) -> Result<Written> {
        let (row, sql) = (self.cursor.row(number), Arc::clone(&self.sql));
        let taken = self.pool.get().await?;
        let written = taken.interact(move |open| connection::write(open, &sql, row)).await;
        self.tally.count(written.map_err(message)?, connection::is_locked)
    }
}
