//! A buffer's metrics for Prometheus, and a readiness check beside them.
//!
//! ```text
//! cargo run -p forebay --features metrics --example prometheus [ADDRESS]
//! curl http://ADDRESS/metrics http://ADDRESS/ready
//! ```
//!
//! With ADDRESS, such as 127.0.0.1:9100, it serves both until Ctrl-C. Without, it asks itself once and
//! prints the metrics that matter most. The database is a temporary one.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use forebay::WriteBuffer;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const CREATE: &str = "CREATE TABLE samples(id INTEGER PRIMARY KEY, value REAL NOT NULL)";
const SECONDS: [f64; 8] = [0.0001, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];
const ROWS: [f64; 5] = [1.0, 10.0, 100.0, 400.0, 4_000.0];
/// How long a row may wait before new work is better sent elsewhere.
const MAX_DELAY: Duration = Duration::from_secs(5);
const MATTERS: [&str; 4] =
    ["forebay_rows_", "forebay_pending_rows", "forebay_oldest", "forebay_state"];

#[derive(Clone)]
struct App {
    buffer: WriteBuffer,
    prometheus: PrometheusHandle,
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let address = std::env::args().nth(1).map(|text| text.parse()).transpose()?;
    run(address, &mut io::stdout())
}

/// Serves at `address` until Ctrl-C, or asks itself once, and tells `out` the answers.
pub fn run(address: Option<SocketAddr>, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    // First the recorder, then the buffer: it registers its metrics when it opens.
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("forebay_batch_rows".to_owned()), &ROWS)?
        .install_recorder()?;
    let folder = tempfile::tempdir()?;
    let buffer = WriteBuffer::open(folder.path().join("samples.db"))?;
    buffer.execute(CREATE)?;
    let samples = buffer.table("samples").insert().producer()?;
    (0..1_000).try_for_each(|id| samples.push(&(id, 0.5)))?;
    buffer.flush()?;

    let app = App { buffer: buffer.clone(), prometheus };
    let runtime = Runtime::new()?;
    runtime.spawn(keep_up(app.prometheus.clone()));
    let at = address.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
    let listener = runtime.block_on(TcpListener::bind(at))?;
    let at = listener.local_addr()?;
    let routes = Router::new().route("/metrics", get(metrics)).route("/ready", get(ready));
    runtime.spawn(axum::serve(listener, routes.with_state(app)).into_future());
    writeln!(out, "listening on http://{at}/metrics and http://{at}/ready")?;
    if address.is_some() {
        runtime.block_on(tokio::signal::ctrl_c())?;
    } else {
        writeln!(out, "{}", ask(at, "/ready")?)?;
        let metrics = ask(at, "/metrics")?;
        let matters = |line: &&str| MATTERS.iter().any(|name| line.starts_with(name));
        metrics.lines().filter(matters).try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(buffer.close()?)
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

/// The body of the answer to a GET, from the server that runs beside.
fn ask(at: SocketAddr, path: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(at)?;
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}
