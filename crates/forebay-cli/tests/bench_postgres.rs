//! `forebay bench --sink postgres` as a person or a pipeline meets it: a server of its own, one that is there, refusals.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use assert_cmd::cargo::cargo_bin;
use forebay_bench::Stop;
use forebay_bench::postgres::Cluster;
use insta::assert_snapshot;

/// A run that is soon over.
const SHORT: &str = "bench --sink postgres --rounds 1 --seconds 0.1 --workers 3";
/// All that take part.
const ALL: &str = "direct,pipelined,limit@10,forebay@10,forebay@10+coalesce";

/// A folder that the server's user may go into, and which is removed in the end.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

struct Ran {
    code: Option<i32>,
    out: String,
    errors: String,
}

fn command(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(cargo_bin("forebay"));
    command.args(line.split_whitespace()).current_dir(folder);
    command
}

fn run(folder: &Path, line: &str) -> Ran {
    let ran = command(folder, line).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: ran.status.code(), out: text(ran.stdout), errors: text(ran.stderr) }
}

impl Ran {
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.errors);
        self
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Whether a process has this text among its arguments.
fn runs(text: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let arguments = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    arguments.into_iter().any(|bytes| String::from_utf8_lossy(&bytes).contains(text))
}

/// Starts a run that would last, and waits until its server is there.
fn started(folder: &Path) -> Child {
    let line = "bench --sink postgres --contender direct --seconds 3600 --workers 3";
    let mut child = command(folder, line).stderr(Stdio::piped()).spawn().unwrap();
    let is_there =
        || names(folder).iter().any(|name| folder.join(name).join("data/postmaster.pid").exists());
    while !is_there() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        thread::yield_now();
    }
    child
}

#[test]
fn a_run_on_a_server_of_its_own_says_what_it_was_and_leaves_nothing() {
    let folder = folder();
    let line = format!("{SHORT} --contender {ALL} -o report --fail-below direct=0.000001");
    let ran = run(folder.path(), &line).exits(0);
    let told = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for what in [
        "hot: 400 topics",
        "a throw-away server, unix socket; synchronous_commit on, fsync on, full_page_writes on",
        "without the server's",
    ] {
        assert!(told.contains(what), "{what} is not in {told}");
    }
    for what in ["WAL", "checkpoint", "busy timeout", "bytes/", "SQLite"] {
        assert!(!told.contains(what), "{what} is in {told}");
    }
    assert_eq!(names(folder.path()), ["report"]);
    assert!(!runs(folder.path().to_str().unwrap()), "the server runs");
    let read = |name: &str| fs::read_to_string(folder.path().join("report").join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read("results.json")).unwrap();
    assert!(json["settings"].is_null(), "{json}");
    assert_eq!(json["server"]["settings"]["fsync"], "on");
    let entries = json["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2 * ALL.split(',').count());
    for entry in entries {
        assert_eq!(entry["verdict"]["is"], "valid", "{entry}");
        assert!(entry["figures"]["rows"].as_u64().unwrap() > 0, "{entry}");
    }
    assert_eq!(read("results.csv").lines().count(), entries.len());
    assert!(read("results.md").contains("PostgreSQL") && read("index.html").contains("PostgreSQL"));
}

#[test]
fn a_run_on_a_server_that_is_there_removes_its_schema() {
    let folder = folder();
    let cluster = Cluster::start(folder.path(), 0, 3, &Stop::default()).unwrap();
    let url = cluster.url();
    let contenders = ALL.replace(",forebay@10+coalesce", "");
    for workload in ["hot", "append"] {
        let line = format!(
            "{SHORT} --as tasks --workload {workload} --contender {contenders} --mode push"
        );
        let ran = run(folder.path(), &format!("{line} --url {url}")).exits(0);
        assert!(ran.out.contains("database postgres at "), "{}", ran.out);
        assert!(!ran.out.contains("throw-away") && !ran.out.contains("ext4"), "{}", ran.out);
    }
    assert_eq!(
        cluster
            .ask("SELECT count(*)::text FROM pg_namespace WHERE nspname LIKE 'forebay%'")
            .unwrap(),
        "0"
    );
    let many = "bench --sink postgres --workers 200 --contender direct --url";
    let ran = run(folder.path(), &format!("{many} {url}")).exits(3);
    assert!(
        ran.errors.contains("direct has a connection for each of 200 workers"),
        "{}",
        ran.errors
    );
}

#[test]
fn a_server_goes_with_its_run_however_that_ends() {
    for (signal, code) in [("-INT", Some(130)), ("-KILL", None)] {
        let folder = folder();
        let mut child = started(folder.path());
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), code);
        while runs(folder.path().to_str().unwrap()) {
            thread::yield_now();
        }
        // Who is killed cannot remove the folder, which is empty then.
        for name in names(folder.path()) {
            assert_eq!((signal, names(&folder.path().join(&name))), ("-KILL", vec![]), "{name}");
        }
    }
}

#[test]
fn what_a_server_has_not_is_told_before_anything_is_run() {
    let folder = folder();
    let mut said = String::new();
    for (line, code) in [
        ("bench --url postgres://localhost/test", 2),
        ("bench --sink mysql", 2),
        ("bench --sink postgres --url localhost", 2),
        ("bench --sink postgres --url postgres://me:secret@db.example.org/test", 2),
        ("bench --sink postgres --url postgres://me:secret@%2Fnowhere/test", 3),
        ("bench --sink postgres --url postgres://localhost/test --dir .", 2),
        ("bench --sink postgres --durability full", 2),
        ("bench --sink postgres --as processes", 2),
        ("bench --sink postgres --processes 8", 2),
        ("bench --sink postgres --db app.db --table topics", 2),
        ("bench --sink postgres --workload mixed", 2),
        ("bench --sink postgres --rival mine=./mine", 2),
        ("bench --sink postgres --config settings.toml", 2),
        ("bench --sink postgres --contender retry", 2),
        ("bench --sink postgres --contender forebay@400+spool", 2),
        ("bench --sink postgres --dir missing", 3),
    ] {
        let ran = run(folder.path(), line).exits(code);
        assert_eq!(ran.out, "");
        assert!(!ran.errors.contains("secret"), "{}", ran.errors);
        said.push_str(&format!("$ forebay {line}\n{}\n", ran.errors));
    }
    assert_snapshot!(said);
    assert_eq!(names(folder.path()), [""; 0]);
}
