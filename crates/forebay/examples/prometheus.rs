//! A buffer's metrics for Prometheus, and a readiness check beside them.
//!
//! ```text
//! cargo run -p forebay --features metrics --example prometheus [ADDRESS]
//! curl http://ADDRESS/metrics http://ADDRESS/ready
//! ```
//!
//! It serves both until Ctrl-C or SIGTERM. Without ADDRESS, such as 127.0.0.1:9100, it says which port it has. The
//! database is a temporary one.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use forebay::WriteBuffer;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const CREATE: &str = "CREATE TABLE samples(id INTEGER PRIMARY KEY, value REAL NOT NULL)";
const SECONDS: [f64; 8] = [0.0001, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];
const ROWS: [f64; 5] = [1.0, 10.0, 100.0, 400.0, 4_000.0];
/// How long a row may wait before new work is better sent elsewhere.
const MAX_DELAY: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct App {
    buffer: WriteBuffer,
    prometheus: PrometheusHandle,
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
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    run(listener, told_to_end()?, &mut io::stdout()).await
}

/// Serves until `end` is ready, then closes the buffer.
pub async fn run(
    listener: TcpListener,
    end: impl Future<Output = ()> + Send + 'static,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    // First the recorder, then the buffer: it registers its metrics when it opens.
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("forebay_batch_rows".to_owned()), &ROWS)?
        .install_recorder()?;
    let folder = tempfile::tempdir()?;
    let buffer = WriteBuffer::open(folder.path().join("samples.db"))?;
    buffer.execute(CREATE)?;
    let samples = buffer.table("samples").insert().producer()?;
    for id in 0..1_000 {
        samples.push_async(&(id, 0.5)).await?;
    }
    buffer.flush_async().await?;

    tokio::spawn(keep_up(prometheus.clone()));
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/ready", get(ready))
        .with_state(App { buffer: buffer.clone(), prometheus });
    let at = listener.local_addr()?;
    writeln!(out, "listening on http://{at}/metrics and http://{at}/ready; Ctrl-C ends it")?;
    let served = axum::serve(listener, routes).with_graceful_shutdown(end).await;
    buffer.close_async().await?; // also when serving has failed
    Ok(served?)
}

/// Brings the gauges to the moment, for the writer may be waiting, and renders everything.
async fn metrics(State(app): State<App>) -> String {
    app.buffer.publish_metrics();
    app.prometheus.render()
}

async fn ready(State(app): State<App>) -> (StatusCode, String) {
    match app.buffer.ready(MAX_DELAY) {
        Ok(()) => (StatusCode::OK, "ready".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")),
    }
}

/// What the exporter needs when nobody scrapes: its histograms would grow without end.
async fn keep_up(prometheus: PrometheusHandle) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        ticks.tick().await;
        prometheus.run_upkeep();
    }
}
