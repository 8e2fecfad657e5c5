//! Running the command in a scratch folder, to its end or step by step, and looking at what it left there.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::{env, fs};

use assert_cmd::cargo::cargo_bin;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;

/// A folder that is removed in the end. Commands run in it, so that no message names where it is.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    /// A folder with the database `app.db`, in WAL mode, on which `schema` has been run.
    pub(crate) fn with(schema: &str) -> Self {
        let folder = Self { folder: tempfile::tempdir().unwrap() };
        let connection = folder.connection();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch(schema).unwrap();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8(fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// A connection of the test's own.
    pub(crate) fn connection(&self) -> Connection {
        Connection::open(self.path("app.db")).unwrap()
    }

    /// A connection that holds the database's write lock until it is dropped, or its transaction ends.
    pub(crate) fn lock(&self) -> Connection {
        let connection = self.connection();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    }

    /// The rows of a query, each as one line: `1, 'text', NULL`.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        let connection = self.connection();
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let values = (0..columns).map(|at| row.get_ref(at).map(told));
            Ok(values.collect::<Result<Vec<_>, _>>()?.join(", "))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    pub(crate) fn count(&self, table: &str) -> u64 {
        self.rows(&format!("SELECT count(*) FROM {table}"))[0].parse().unwrap()
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace().map(OsStr::new);
        assert_eq!(words.next(), Some("forebay".as_ref()), "{line}");
        let mut command = Command::new(cargo_bin!("forebay"));
        // No terminal and no variable, on which the width of help would depend.
        command.args(words).current_dir(self.folder.path()).env_clear();
        command
    }

    /// Runs a command line to its end. Words are separated by spaces, without quoting.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_on(line, "")
    }

    /// The same with this as standard input.
    pub(crate) fn run_on(&self, line: &str, input: impl AsRef<[u8]>) -> Ran {
        let mut command = assert_cmd::Command::from_std(self.command(line));
        Ran::from(command.write_stdin(input.as_ref()).output().unwrap())
    }

    /// Runs a script by sh, which finds the command on its path.
    pub(crate) fn run_script(&self, script: &str) -> Ran {
        let here = cargo_bin!("forebay").parent().unwrap().to_owned();
        let usual = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([here].into_iter().chain(env::split_paths(&usual))).unwrap();
        let mut command = Command::new("sh");
        command.args(["-ec", script]).current_dir(self.folder.path()).env("PATH", path);
        Ran::from(command.output().unwrap())
    }

    /// Starts a command line whose standard input the test feeds.
    pub(crate) fn start(&self, line: &str) -> Running {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, errors) = (child.stdin.take(), child.stderr.take().unwrap());
        Running { child, input, errors: BufReader::new(errors), told: String::new() }
    }
}

/// One value, as SQL would have it.
fn told(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => format!("x'{bytes:02X?}'"),
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl From<std::process::Output> for Ran {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), errors: text(output.stderr) }
    }
}

impl Ran {
    /// The summary that `--json` prints.
    pub(crate) fn summary(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// One of its counts.
    #[track_caller]
    pub(crate) fn count(&self, name: &str) -> u64 {
        let summary = self.summary();
        summary[name].as_u64().unwrap_or_else(|| panic!("no count {name} in {summary}"))
    }

    /// Passes it on when it ended as it should.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

/// What a command said, without what depends on the clock.
pub(crate) fn timeless(text: &str) -> String {
    let mut timeless = String::new();
    for line in text.split_inclusive('\n') {
        if line.starts_with("  time  ") {
            let rate = if line.contains("rows/s") { "  [rate] rows/s" } else { "" };
            timeless.push_str(&format!("  time         [seconds] s{rate}\n"));
            continue;
        }
        let mut line = line.to_owned();
        for name in ["\"seconds\":", "\"rows_per_second\":"] {
            if let Some(at) = line.find(name) {
                let start = at + name.len();
                let end = line[start..].find([',', '}']).map_or(line.len(), |end| start + end);
                line.replace_range(start..end, "[number]");
            }
        }
        timeless.push_str(&line);
    }
    timeless
}

/// A command that runs; it is ended with the test.
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    errors: BufReader<ChildStderr>,
    told: String,
}

impl Running {
    /// Writes to its standard input.
    pub(crate) fn feed(&mut self, text: impl AsRef<[u8]>) {
        let input = self.input.as_mut().expect("an input that has not ended");
        input.write_all(text.as_ref()).unwrap();
        input.flush().unwrap();
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Blocks until it tells this on standard error, and gives the line.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            let bytes = self.errors.read_line(&mut line).unwrap();
            assert!(bytes > 0, "it ended and did not tell {what:?}, but {:?}", self.told);
            self.told.push_str(&line);
            if line.contains(what) {
                return line;
            }
        }
    }

    /// Fails when it has ended.
    #[track_caller]
    pub(crate) fn still_runs(&mut self) {
        if self.child.try_wait().unwrap().is_some() {
            self.errors.read_to_string(&mut self.told).unwrap();
            panic!("it has ended: {}", self.told);
        }
    }

    /// Sends it a signal: `INT` or `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Blocks until it ends, with its standard input as it is.
    pub(crate) fn finish(mut self) -> Ran {
        self.errors.read_to_string(&mut self.told).unwrap();
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let code = self.child.wait().unwrap().code();
        Ran { code, out, errors: std::mem::take(&mut self.told) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which is the rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder or file that is mounted for a test, which takes root: read-only, or with little room.
pub(crate) struct Mount(pub(crate) PathBuf);

impl Mount {
    pub(crate) fn at(at: PathBuf, arguments: &[&str]) -> Self {
        let mounted = Self(at);
        mounted.mount(arguments);
        mounted
    }

    pub(crate) fn mount(&self, arguments: &[&str]) {
        let ran = Command::new("mount").args(arguments).arg(&self.0).output().unwrap();
        let why = String::from_utf8_lossy(&ran.stderr);
        assert!(
            ran.status.success(),
            "this test needs root (TESTS_WITHOUT_ROOT=1 leaves it out): {why}"
        );
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: what is still open in it must not keep it mounted.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
