//! A web service whose handlers write through the buffer and read through its readers.
//!
//! ```text
//! cargo run -p forebay --example axum_handler [ADDRESS [DATABASE]]
//! curl -d running http://ADDRESS/topics/7; curl http://ADDRESS/topics/7
//! ```
//!
//! It serves until Ctrl-C or SIGTERM. Without ADDRESS it says which port it has, and the database is a temporary one.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::{Router, get, post};
use forebay::rusqlite::OptionalExtension;
use forebay::{ErrorKind, Producer, Readers, WriteBuffer};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS topic_status(topic_id INTEGER PRIMARY KEY, \
                      status TEXT CONSTRAINT known CHECK (status IN ('queued', 'running', 'done')))";
/// How long a row may wait before new work is better sent elsewhere.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// What every handler gets; all of it is cheap to clone.
#[derive(Clone)]
struct App {
    buffer: WriteBuffer,
    topics: Producer,
    readers: Readers,
}

/// A status, and what there is to say.
type Answer = (StatusCode, String);

/// Answers when the row is committed, or says why it was not.
async fn set(State(app): State<App>, id: UrlPath<i64>, status: String) -> Result<Answer, Answer> {
    let receipt = app.topics.submit_async(&(id.0, status)).await.map_err(failure)?;
    receipt.await.map_err(failure)?;
    Ok((StatusCode::OK, "committed".to_owned()))
}

/// A query blocks, so it runs on a thread that may, and has a connection for as long as it takes.
async fn status(State(app): State<App>, id: UrlPath<i64>) -> Result<Answer, Answer> {
    let query = move || -> Result<Option<String>, Answer> {
        let reader = app.readers.get().map_err(failure)?;
        let sql = "SELECT status FROM topic_status WHERE topic_id = ?1";
        let mut statement = reader.prepare_cached(sql).map_err(failure)?;
        statement.query_row([id.0], |row| row.get(0)).optional().map_err(failure)
    };
    let found = tokio::task::spawn_blocking(query).await.map_err(failure)??;
    let missing = (StatusCode::NOT_FOUND, "no such topic".to_owned());
    found.map(|status| (StatusCode::OK, status)).ok_or(missing)
}

/// For whoever balances the load.
async fn ready(State(app): State<App>) -> Answer {
    match app.buffer.ready(MAX_DELAY) {
        Ok(()) => (StatusCode::OK, "ready".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// Tells a client what is its own doing; the rest is the log's.
fn failure(error: impl Error + 'static) -> Answer {
    let error: &(dyn Error + 'static) = &error;
    if error.downcast_ref().map(forebay::Error::kind) == Some(ErrorKind::Rejected) {
        return (StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
    }
    tracing::error!("a request failed: {error:#}");
    (StatusCode::INTERNAL_SERVER_ERROR, "failed; the service's log says why".to_owned())
}

/// Ready at Ctrl-C, or at SIGTERM from whoever supervises the service.
fn told_to_end() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupted.recv() => {}, _ = terminated.recv() => {} }
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let folder = tempfile::tempdir()?;
    let database = arguments.next().map_or_else(|| folder.path().join("topics.db"), PathBuf::from);
    let listener = TcpListener::bind(address).await?;
    run(&database, listener, told_to_end()?, &mut io::stdout()).await
}

/// Serves until `end` is ready and the requests under way are answered, then closes the buffer.
pub async fn run(
    database: &Path,
    listener: TcpListener,
    end: impl Future<Output = ()> + Send + 'static,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let buffer = WriteBuffer::open(database)?;
    buffer.execute(CREATE)?;
    let topics = buffer.table("topic_status").upsert(["topic_id"]).producer()?;
    let app = App { buffer: buffer.clone(), topics, readers: buffer.readers()? };
    let router = Router::new()
        .route("/topics/{id}", post(set).get(status))
        .route("/ready", get(ready))
        .with_state(app);
    writeln!(out, "listening on http://{}; Ctrl-C ends it", listener.local_addr()?)?;
    let served = axum::serve(listener, router).with_graceful_shutdown(end).await;
    buffer.close_async().await?; // also when serving has failed
    Ok(served?)
}
