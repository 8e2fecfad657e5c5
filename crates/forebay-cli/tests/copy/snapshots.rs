//! What the command says, word by word: help, refusals with what to do about them, summaries.

use std::fmt::Write as _;

use insta::assert_snapshot;

use ::support::Database;

use super::{Folder, Move, Ran};
use crate::support::timeless;

const TABLES: &str =
    "CREATE TABLE topics(id INTEGER PRIMARY KEY, title TEXT NOT NULL DEFAULT 'none', size REAL);
    INSERT INTO topics VALUES (1, 'first', 0.5), (2, 'second', NULL);
    CREATE INDEX sizes ON topics(size);
    CREATE TABLE log(at TEXT, what TEXT); INSERT INTO log VALUES ('now', 'this');
    CREATE TABLE bad(id INTEGER PRIMARY KEY, size INTEGER); INSERT INTO bad VALUES (1, 'x'), (2, 2);
    CREATE VIEW titles AS SELECT title FROM topics; CREATE VIRTUAL TABLE words USING fts5(text);";

/// Commands and all that they said, as a reader at a terminal would see it, without what depends on where and when.
struct Transcript {
    of: Move,
    text: String,
}

impl Transcript {
    fn with(postgres: &str) -> Self {
        Self { of: Move::with(TABLES, postgres), text: String::new() }
    }

    /// Runs a command line, in which `[url]` is where the server is.
    fn run(&mut self, line: &str) -> &mut Self {
        let url = self.of.to.url();
        let Ran { code, out, errors } = self.of.folder.run(&line.replace("[url]", &url));
        let code = code.expect("an end of its own");
        let _ = writeln!(self.text, "$ {line}\nexit {code}");
        for (name, said) in [("stdout", out), ("stderr", errors)] {
            if !said.is_empty() {
                let _ = write!(self.text, "-- {name}\n{}", self.same_everywhere(&said));
            }
        }
        self.text.push('\n');
        self
    }

    fn same_everywhere(&self, said: &str) -> String {
        let url = self.of.to.url().replace("%2F", "/");
        let (server, database) = url.rsplit_once('/').unwrap();
        let place = server.split_once('@').unwrap().1;
        let here = std::fs::canonicalize(self.of.folder.path("")).unwrap();
        let mut said = said.replace(&url, "postgres://[server]/[database]");
        for (what, name) in
            [(place, "[server]"), (database, "[database]"), (here.to_str().unwrap(), "[here]")]
        {
            said = said.replace(what, name);
        }
        timeless(&said)
    }
}

#[test]
fn help_has_examples_types_and_exit_codes() {
    let mut said = Transcript::with("");
    said.run("forebay copy -h").run("forebay copy --help");
    assert_snapshot!("help", said.text);
}

#[test]
fn the_manual_page_names_every_option() {
    let folder = Folder::with("");
    let help = folder.run("forebay copy --help").exits(0).out;
    let page = folder.run("forebay man copy").exits(0).out.replace("\\-", "-");
    let options = help.split(|one: char| !one.is_ascii_alphanumeric() && one != '-');
    for word in options.filter(|word| word.starts_with("--") && word.len() > 2) {
        assert!(page.contains(word), "{word} is not in {page}");
    }
}

#[test]
fn a_summary_says_what_became_of_every_table() {
    let mut said = Transcript::with("");
    said.run("forebay copy app.db [url] --table topics --table log")
        .run(
            "forebay copy app.db [url] --table topics --table log --table bad --rejects bad.ndjson",
        )
        .run("forebay copy app.db [url] --all-tables --verify none")
        .run("forebay copy app.db [url] --table log")
        .run("forebay copy app.db [url] --table bad --json");
    assert_snapshot!("summaries", said.text);
}

#[test]
fn wrong_arguments_are_told_with_what_is_right() {
    let mut said = Transcript::with("");
    said.run("forebay copy")
        .run("forebay copy app.db --table topics")
        .run("forebay copy app.db [url]")
        .run("forebay copy app.db [url] --table topics --all-tables")
        .run("forebay copy app.db other.db --table topics")
        .run("forebay copy [url] app.db --table topics")
        .run("forebay copy app.db mysql://me:secret@localhost/app --table topics")
        .run("forebay copy postgres://me:secret@localhost/app [url] --table topics")
        .run("forebay copy app.db [url] --table topics --verify all")
        .run("forebay copy app.db [url] --table topics --batch-size 0");
    said.of.folder.write("sqlite.toml", "max_wal_bytes = 1048576\n");
    said.of.folder.write("give_up.toml", "[retry]\ngive_up = \"1s\"\n");
    said.of.folder.write("spool.toml", "spool = \"app.spool\"\n");
    for name in ["sqlite", "give_up", "spool"] {
        said.run(&format!("forebay copy app.db [url] --table topics --config {name}.toml"));
    }
    assert_snapshot!("wrong_arguments", said.text);
}

#[test]
fn what_cannot_be_copied_is_told_with_what_to_do() {
    let mut said = Transcript::with(
        "CREATE TABLE topics(id BIGINT PRIMARY KEY, title TEXT, size REAL); INSERT INTO topics VALUES (7, 'mine', 1);
         CREATE TABLE log(at TEXT)",
    );
    said.of
        .folder
        .write("text.db", "this is no database, and long enough to be told from one that is empty");
    said.of.folder.write("empty.db", "");
    said.run("forebay copy empty.db [url] --all-tables")
        .run("forebay copy missing.db [url] --table topics")
        .run("forebay copy . [url] --table topics")
        .run("forebay copy text.db [url] --table topics")
        .run("forebay copy app.db [url] --table topic")
        .run("forebay copy app.db [url] --table titles")
        .run("forebay copy app.db [url] --table words")
        .run("forebay copy app.db [url] --table topics")
        .run("forebay copy app.db [url] --table log");
    said.of.to.run("DROP TABLE log; TRUNCATE topics");
    said.run("forebay copy app.db [url] --table topics --table log");
    said.run("forebay copy app.db [url] --table log --from-start");
    said.of.to.run("UPDATE _forebay_copy SET source = '/elsewhere/app.db'");
    said.run("forebay copy app.db [url] --table topics");
    assert_snapshot!("refusals", said.text);
}

#[test]
fn a_server_that_does_not_let_us_in_is_told_without_the_password() {
    let mut said = Transcript::with(
        "CREATE ROLE reader_of_copies LOGIN; CREATE TABLE topics(id BIGINT PRIMARY KEY)",
    );
    let url = said.of.to.url();
    let nowhere = "postgres://me:secret@localhost:1/app";
    said.run(&format!("forebay copy app.db {nowhere} --table topics"))
        .run("forebay copy app.db postgres://me:secret@localhost:port/app --table topics")
        .run("forebay copy app.db postgres:///app --table topics");
    let missing = format!("{}_missing", url.replace("postgres@", "postgres:secret@"));
    let other = url.replace("postgres@", "reader_of_copies:secret@");
    for url in [missing, other] {
        let ran = said.of.folder.run(&format!("forebay copy app.db {url} --table log"));
        let _ = write!(said.text, "exit {:?}\n{}\n", ran.code, said.same_everywhere(&ran.errors));
    }
    assert!(!said.text.replace(":secret@localhost", "").contains("secret"), "{}", said.text);
    assert_snapshot!("servers", said.text);
    said.of.to.run("DROP ROLE reader_of_copies");
}
