//! A web service whose handlers write through the buffer and read through its readers.
//!
//! ```text
//! cargo run -p forebay --example axum_handler [ADDRESS DATABASE]
//! curl -d running http://ADDRESS/topics/7; curl http://ADDRESS/topics/7
//! ```
//!
//! With an address it serves until Ctrl-C; without one it sends itself a few requests and ends.

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::{Router, get, post};
use forebay::rusqlite::OptionalExtension;
use forebay::{ErrorKind, Health, Producer, Readers, WriteBuffer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS topic_status(topic_id INTEGER PRIMARY KEY, \
                      status TEXT CONSTRAINT known CHECK (status IN ('queued', 'running', 'done')))";
const REQUESTS: [(&str, &str, &str); 6] = [
    ("GET", "/ready", ""),
    ("POST", "/topics/7", "running"),
    ("GET", "/topics/7", ""),
    ("POST", "/topics/7", "dancing"),
    ("GET", "/topics/7", ""),
    ("GET", "/topics/8", ""),
];

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
async fn set_status(
    State(app): State<App>,
    UrlPath(topic_id): UrlPath<i64>,
    status: String,
) -> Result<Answer, Answer> {
    let receipt = app.topics.submit_async(&(topic_id, status)).await.map_err(failure)?;
    receipt.await.map_err(failure)?;
    Ok((StatusCode::OK, "committed".to_owned()))
}

/// A query blocks, so it runs on a thread that may, and has a connection for as long as it takes.
async fn status(State(app): State<App>, UrlPath(topic_id): UrlPath<i64>) -> Result<Answer, Answer> {
    let query = move || -> Result<Option<String>, Answer> {
        let reader = app.readers.get().map_err(failure)?;
        let sql = "SELECT status FROM topic_status WHERE topic_id = ?1";
        let mut statement = reader.prepare_cached(sql).map_err(failure)?;
        statement.query_row([topic_id], |row| row.get(0)).optional().map_err(failure)
    };
    let found = tokio::task::spawn_blocking(query).await.map_err(failure)??;
    let missing = (StatusCode::NOT_FOUND, "no such topic".to_owned());
    found.map(|status| (StatusCode::OK, status)).ok_or(missing)
}

/// For whoever balances the load.
async fn ready(State(app): State<App>) -> Answer {
    match app.buffer.health() {
        Health::Running => (StatusCode::OK, "ready".to_owned()),
        other => (StatusCode::SERVICE_UNAVAILABLE, format!("{other:?}")),
    }
}

fn failure(error: impl Error + 'static) -> Answer {
    let error: &(dyn Error + 'static) = &error;
    let status = match error.downcast_ref().map(forebay::Error::kind) {
        Some(ErrorKind::Rejected) => StatusCode::UNPROCESSABLE_ENTITY,
        Some(ErrorKind::TimedOut | ErrorKind::Closed) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string())
}

/// Serves until `shutdown` is ready and the requests under way are answered, then closes the buffer.
async fn serve<F>(database: &Path, listener: TcpListener, shutdown: F) -> Result<(), Box<dyn Error>>
where
    F: Future<Output = ()> + Send + 'static,
{
    let buffer = WriteBuffer::open(database)?;
    buffer.execute(CREATE)?;
    let topics = buffer.table("topic_status").upsert(["topic_id"]).producer()?;
    let app = App { buffer: buffer.clone(), topics, readers: buffer.readers()? };
    let router = Router::new()
        .route("/topics/{id}", post(set_status).get(status))
        .route("/ready", get(ready))
        .with_state(app);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await?;
    Ok(buffer.close_async().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().collect();
    let [_, address, database] = &arguments[..] else {
        let folder = tempfile::tempdir()?;
        return run(&folder.path().join("topics.db"), &mut io::stdout()).await;
    };
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    serve(Path::new(database), TcpListener::bind(address).await?, interrupted).await
}

/// Serves on a free port for as long as it takes to send the requests, and tells `out` the answers.
pub async fn run(database: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let client = async move {
        for (method, path, body) in REQUESTS {
            let mut stream = TcpStream::connect(address).await?;
            let length = body.len();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
                 content-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(request.as_bytes()).await?;
            let mut response = String::new();
            stream.read_to_string(&mut response).await?;
            let status = response.split(' ').nth(1).unwrap_or_default();
            let answer = response.split("\r\n\r\n").nth(1).unwrap_or_default();
            writeln!(out, "{:24} {status} {answer}", format!("{method} {path} {body}"))?;
        }
        drop(stop);
        Ok(())
    };
    let shutdown = async { drop(stopped.await) };
    tokio::try_join!(serve(database, listener, shutdown), client).map(drop)
}
