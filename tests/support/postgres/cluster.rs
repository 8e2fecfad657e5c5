//! A PostgreSQL server for the tests, in a folder that goes when its last user has ended, however that ended.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use postgres::NoTls;

use super::programs::{Programs, run};

/// A server that runs. Its superuser is `postgres`, whom it believes on its socket and on its port.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    programs: Programs,
    /// Locked for as long as this process uses the folder.
    _lock: File,
}

const WATCHDOG: &str = include_str!("watchdog.sh");

/// What saves time where a crash of the machine need not be survived.
const FORGETFUL: [(&str, &str); 2] = [("fsync", "off"), ("full_page_writes", "off")];

/// How many seconds the shared server waits for the next process that uses it.
const PATIENCE: u32 = 2;

impl Cluster {
    /// The server that all test processes of a run share: the first starts it, and it goes two seconds after the last.
    /// It would not survive a crash of the machine.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let mut place = DefaultHasher::new();
            (env!("CARGO_MANIFEST_DIR"), rustix::process::geteuid().as_raw()).hash(&mut place);
            join(&std::env::temp_dir().join(format!("forebay-postgres-{:x}", place.finish())))
        })
    }

    /// A server of the caller's own, to be stopped and started, with settings. It keeps what PostgreSQL promises unless
    /// they say otherwise.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn private(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("forebay-postgres-").tempdir();
        let folder = folder.expect("a folder for a server").keep();
        let lock = open_lock(&folder).expect("a new folder is nobody else's");
        lock.lock().expect("a new file can be locked");
        let programs = Programs::find();
        let port = make(&folder, &programs, settings, 0);
        Self { folder, port, programs, _lock: lock }
    }

    /// How a client of the tests' own connects to a database, by the socket.
    pub fn config(&self, database: &str) -> postgres::Config {
        config(&self.folder, self.port, database)
    }

    /// The URL of a database, by the socket.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.to_str().expect("a temporary folder has a plain name");
        format!("postgres://postgres@{}:{}/{database}", folder.replace('/', "%2F"), self.port)
    }

    /// The URL of a database, by TCP.
    pub fn tcp_url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where its data and its settings are.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Sets something in its settings, which holds from now on where a reload is enough, and else from its next start on.
    ///
    /// # Panics
    ///
    /// When the settings cannot be written.
    pub fn set(&self, name: &str, value: &str) {
        write_settings(&self.folder, &[(name, value)]);
        control(&self.programs, &self.folder, &["reload"]).expect("the server reads its settings");
    }

    /// Says who may connect and how, as in `pg_hba.conf`.
    ///
    /// # Panics
    ///
    /// When that cannot be written.
    pub fn admit(&self, lines: &str) {
        fs::write(self.data().join("pg_hba.conf"), lines).expect("pg_hba.conf can be written");
        control(&self.programs, &self.folder, &["reload"]).expect("the server reads its settings");
    }

    /// Puts a file with its keys or the like into its data folder, where only the server may read it.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn put(&self, name: &str, contents: &str) {
        let path = self.data().join(name);
        fs::write(&path, contents).expect("a file in the server's folder");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its permissions");
        self.programs.give(&path);
    }

    /// Stops it as a crash would: no session is heard out, nothing is written that is not.
    ///
    /// # Panics
    ///
    /// When it was not running.
    pub fn stop_immediate(&self) {
        control(&self.programs, &self.folder, &["stop", "-m", "immediate"])
            .expect("the server stops");
    }

    /// Starts it again, where it was; what a crash has left it recovers.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(&self) {
        start(&self.programs, &self.folder, self.port).expect("the server starts");
    }
}

/// Uses the server in a folder, which this process starts if it is the first.
fn join(folder: &Path) -> Cluster {
    let programs = Programs::find();
    loop {
        let Some(lock) = open_lock(folder) else { continue };
        lock.lock_shared().expect("the server's folder can be locked");
        if !is_at(&lock, folder) {
            continue;
        }
        if let Some(port) = ready(folder) {
            return Cluster { folder: folder.to_owned(), port, programs, _lock: lock };
        }
        lock.unlock().expect("what is locked can be unlocked");
        lock.lock().expect("the server's folder can be locked");
        if is_at(&lock, folder) && ready(folder).is_none() {
            make(folder, &programs, &FORGETFUL, PATIENCE);
        }
    }
}

/// The lock on a folder, which is made where there is none; `None` when somebody removes it at this very moment.
fn open_lock(folder: &Path) -> Option<File> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{folder:?}: {error}"),
        _ => (),
    }
    let mut options = OpenOptions::new();
    match options.create(true).append(true).open(folder.join("lock")) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        opened => Some(opened.expect("the lock of the server's folder can be opened")),
    }
}

/// Whether this is the lock of the folder that is there now, and not of one that was removed before it was got.
fn is_at(lock: &File, folder: &Path) -> bool {
    let here = lock.metadata().expect("an open file").ino();
    fs::metadata(folder.join("lock")).is_ok_and(|there| there.ino() == here)
}

/// The port of a server that is ready.
fn ready(folder: &Path) -> Option<u16> {
    fs::read_to_string(folder.join("ready")).ok()?.parse().ok()
}

/// Makes a server in a folder that this process has locked, starts it, and has it watched.
fn make(folder: &Path, programs: &Programs, settings: &[(&str, &str)], patience: u32) -> u16 {
    watch(folder, patience);
    programs.give(folder);
    fs::set_permissions(folder, Permissions::from_mode(0o700)).expect("the folder's permissions");
    // Of somebody who was killed while doing this.
    let _ = fs::remove_dir_all(folder.join("data"));
    let mut initdb = programs.command("initdb");
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
    initdb.args(["--no-sync", "--wal-segsize=1", "--pgdata"]).arg(folder.join("data"));
    run(&mut initdb).expect("a server's folder is made");
    write_settings(folder, &[("max_connections", "200"), ("listen_addresses", "'127.0.0.1'")]);
    write_settings(folder, &[("unix_socket_directories", &format!("'{}'", folder.display()))]);
    write_settings(folder, settings);
    let port = start_anywhere(programs, folder);
    let mut template = config(folder, port, "template1").connect(NoTls).expect("a new server");
    template.batch_execute(super::IN_EVERY_DATABASE).expect("what every database has");
    fs::write(folder.join("ready"), port.to_string()).expect("a file in the server's folder");
    port
}

/// Has it stopped and removed when nobody uses it any more.
fn watch(folder: &Path, patience: u32) {
    // In the background of a shell that ends at once, and so nobody's child; of no group and no pipe that the test's runner
    // kills or waits for.
    let mut shell = Command::new("sh");
    shell.args(["-c", "sh -c \"$0\" watchdog \"$@\" &", WATCHDOG]);
    shell.arg(folder).arg(patience.to_string());
    shell.process_group(0).current_dir("/");
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(shell.status().expect("sh can be run").success());
}

fn write_settings(folder: &Path, settings: &[(&str, &str)]) {
    let path = folder.join("data/postgresql.conf");
    let mut file = OpenOptions::new().append(true).open(path).expect("postgresql.conf");
    for (name, value) in settings {
        writeln!(file, "{name} = {value}").expect("postgresql.conf can be written");
    }
}

/// Starts it on a port that was free a moment ago, and another if somebody was quicker.
fn start_anywhere(programs: &Programs, folder: &Path) -> u16 {
    let mut why = String::new();
    for _ in 0..5 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        match start(programs, folder, port) {
            Ok(()) => return port,
            Err(error) => why = error,
        }
    }
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    panic!("the server does not start: {why}\n{log}");
}

fn start(programs: &Programs, folder: &Path, port: u16) -> Result<(), String> {
    let log = folder.join("log").display().to_string();
    control(programs, folder, &["start", "-o", &format!("-p {port}"), "-l", &log])
}

fn control(programs: &Programs, folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut control = programs.command("pg_ctl");
    control.args(arguments).args(["--wait", "--silent", "--pgdata"]).arg(folder.join("data"));
    // A server that it starts would keep a pipe open.
    let status = control.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.map_err(|error| format!("{control:?} cannot be run: {error}"))?;
    status.success().then_some(()).ok_or_else(|| format!("{control:?} ended with {status}"))
}

fn config(folder: &Path, port: u16, database: &str) -> postgres::Config {
    let mut config = postgres::Config::new();
    config.host_path(folder).port(port).user("postgres").dbname(database);
    config
}
