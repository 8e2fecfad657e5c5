//! A throw-away PostgreSQL server of the installed programs, which ends and leaves nothing, however this process ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::programs::Programs;
use super::session::Session;
use super::url;
use crate::error::{Error, Result};
use crate::program::Stop;
use crate::scratch;

/// Keeps the server, and ends it.
const KEEPER: &str = include_str!("keeper.sh");
/// The user in the database that owns all, as the keeper says it too.
const OWNER: &str = "forebay";
/// The socket's name.
const SOCKET: &str = ".s.PGSQL.5432";
/// What to do where none starts.
const OTHERWISE: &str = "name another folder with --dir, or a server that runs with --url";
/// How long a path of a socket can be, in bytes.
const MAX_SOCKET: usize = 107;
/// Connections that a server takes by default, and those of them that are not for the run's workers.
const CONNECTIONS: u32 = 100;
const SPARE: u32 = 20;
/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon it is noticed that it does.
const LOOK: Duration = Duration::from_millis(20);
/// What is told of its log, in lines from its end.
const TOLD: usize = 5;

/// A server with settings as they come, but for its connections: it can be reached by its socket alone, and takes
/// whoever reaches that. Dropping it ends it and removes all that it has.
#[derive(Debug)]
pub struct Cluster {
    /// Ends the server when its standard input ends.
    keeper: Child,
    folder: TempDir,
    /// Where the socket is, if the way to the other folder is too long for one.
    _sockets: Option<TempDir>,
    url: String,
}

impl Cluster {
    /// Makes one in a folder of its own in `parent`, which may take so many bytes, for so many workers with a connection each. Blocks until
    /// it answers.
    ///
    /// # Errors
    ///
    /// When the programs are not installed, the folder cannot be made, the user that the server has may not go there, the server does
    /// not start, or when told to stop.
    pub fn start(parent: &Path, space: u64, workers: u32, stop: &Stop) -> Result<Self> {
        let programs = Programs::find()?;
        let folder =
            scratch::folder(parent, ".forebay-bench-", &parent.display().to_string(), space)?;
        let path = fs::canonicalize(folder.path())
            .map_err(|error| Error::of_file("find", folder.path(), &error))?;
        programs.give(&path)?;
        let (sockets, socket) = socket_folder(&programs, &path)?;
        let keeper = keep(&programs, &path, &socket, workers)?;
        let url =
            format!("postgres://{OWNER}@{}/postgres", url::encoded(&socket.display().to_string()));
        let mut cluster = Self { keeper, folder, _sockets: sockets, url };
        cluster.wait(&path, stop)?;
        Ok(cluster)
    }

    /// How to connect to it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The one text that a query gives.
    ///
    /// # Errors
    ///
    /// When the server does not answer with that.
    pub fn ask(&self, sql: &str) -> Result<String> {
        Session::open(&self.url)?.text(sql, &[])
    }

    /// The folder that it lies in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Blocks until it answers.
    fn wait(&mut self, folder: &Path, stop: &Stop) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let Err(why) = Session::open(&self.url) else { return Ok(()) };
            if stop.is_stopped() {
                return Err(Error::stopped());
            }
            let log = fs::read_to_string(log_of(folder)).unwrap_or_default();
            // Who connects before it has started is told FATAL too.
            let has_failed =
                log.lines().any(|line| line.contains("FATAL:") && !line.contains("starting up"));
            let is_over = matches!(self.keeper.try_wait(), Ok(Some(_)));
            if has_failed || is_over || Instant::now() >= until {
                let lines: Vec<_> = log.lines().collect();
                let end = lines[lines.len().saturating_sub(TOLD)..].join("\n");
                let error = format!("the PostgreSQL server did not start: {why}\n{end}");
                return Err(Error::new(error).with_hint(OTHERWISE));
            }
            thread::park_timeout(LOOK);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // One that cannot be waited for has ended.
        let _ = self.keeper.wait();
    }
}

/// Where the socket is to be: in the server's folder, or in one whose path is short enough.
fn socket_folder(programs: &Programs, folder: &Path) -> Result<(Option<TempDir>, PathBuf)> {
    if folder.join(SOCKET).as_os_str().len() <= MAX_SOCKET {
        return Ok((None, folder.to_owned()));
    }
    let short = tempfile::Builder::new().prefix(".forebay-").tempdir().map_err(|error| {
        Error::new(format!("cannot make a folder for the socket of the PostgreSQL server: {error}"))
    })?;
    programs.give(short.path())?;
    let path = short.path().to_owned();
    Ok((Some(short), path))
}

/// Starts a server, with one who ends it.
fn keep(programs: &Programs, folder: &Path, socket: &Path, workers: u32) -> Result<Child> {
    let failed = |error: io::Error| {
        let error = Error::new(format!(
            "cannot start a PostgreSQL server in {}: {error}",
            folder.display()
        ));
        match programs.user() {
            Some(user) => error.with_hint(format!(
                "its programs run as user {user}, who must be able to go into the folder: name another one with --dir"
            )),
            None => error.with_hint(OTHERWISE),
        }
    };
    let log = File::create(log_of(folder)).map_err(failed)?;
    let connections = CONNECTIONS.max(workers + SPARE);
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "keeper"]).arg(folder);
    command.args(["initdb", "postgres"].map(|name| programs.path(name))).arg("-k").arg(socket);
    command.args(["-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"]);
    command.args(["-c", &format!("max_connections={connections}")]);
    command.stdin(Stdio::piped()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    // Ctrl-C at a terminal is for whoever runs this.
    command.current_dir(folder).process_group(0);
    programs.hand(&mut command);
    command.spawn().map_err(failed)
}

fn log_of(folder: &Path) -> PathBuf {
    folder.join("log")
}
