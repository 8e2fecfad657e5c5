//! What the command says, word by word: help, errors with what to do about them, summaries.

use std::fmt::Write as _;

use insta::assert_snapshot;

use crate::inputs::{gzip, zstd};
use crate::support::{Folder, Ran, timeless};

const TABLE: &str = "CREATE TABLE topics(id INTEGER PRIMARY KEY, title TEXT NOT NULL, size REAL, \
                     seen INTEGER CHECK(seen >= 0));
                     CREATE TABLE log(at TEXT, what TEXT);
                     CREATE VIEW titles AS SELECT title FROM topics";

/// Commands and all that they said, as a reader at a terminal would see it.
struct Transcript {
    folder: Folder,
    text: String,
}

impl Transcript {
    /// Begins with some files that can be loaded.
    fn new() -> Self {
        let folder = Folder::with(TABLE);
        folder.write("topics.csv", "id,title,size,seen\n1,first,0.5,7\n2,second,,0\n");
        folder.write("topics.ndjson", "{\"id\":1,\"title\":\"first\",\"size\":0.5,\"seen\":7}\n");
        folder.write("empty.csv", "");
        folder.write("empty.tsv", "");
        folder.write("empty.ndjson", "");
        Self { folder, text: String::new() }
    }

    /// Runs a command line.
    fn run(&mut self, line: &str) -> &mut Self {
        self.run_on(line, "")
    }

    /// The same with an input.
    fn run_on(&mut self, line: &str, input: impl AsRef<[u8]>) -> &mut Self {
        let Ran { code, out, errors } = self.folder.run_on(line, input);
        let code = code.expect("an end of its own");
        let _ = writeln!(self.text, "$ {line}\nexit {code}");
        for (name, said) in [("stdout", out), ("stderr", errors)] {
            if !said.is_empty() {
                let _ = write!(self.text, "-- {name}\n{}", timeless(&said));
            }
        }
        self.text.push('\n');
        self
    }

    /// Loads a file of this name and these bytes into the table of topics.
    fn load(&mut self, name: &str, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.folder.write(name, bytes);
        // A linger that does not end has the rows in as few transactions as can be.
        self.run(&format!("forebay load {name} --into app.db --table topics --json --linger 1h"))
    }
}

#[test]
fn short_help_fits_a_screen() {
    let mut said = Transcript::new();
    said.run("forebay").run("forebay -h").run("forebay load -h");
    assert_snapshot!("short_help", said.text);
}

#[test]
fn long_help_has_examples_rules_and_exit_codes() {
    let mut said = Transcript::new();
    said.run("forebay load --help").run("forebay completions --help").run("forebay man --help");
    assert_snapshot!("long_help", said.text);
}

#[test]
fn wrong_arguments_are_told_with_what_is_right() {
    let mut said = Transcript::new();
    said.run("forebay laod")
        .run("forebay load")
        .run("forebay load topics.csv --into app.db")
        .run("forebay load topics.csv --into app.db --table topics --format xml")
        .run("forebay load topics.csv --into app.db --table topics --linger 5")
        .run("forebay load topics.csv --into app.db --table topics --batch-size many")
        .run("forebay load topics.csv --into app.db --table topics --durability none")
        .run("forebay load topics.csv --into app.db --table topics --coalesce")
        .run("forebay load topics.csv --into app.db --table topics --newest-by seen")
        .run("forebay load topics.csv --into app.db --table topics --upset id")
        .run("forebay completions csh")
        .run("forebay man laod");
    assert_snapshot!("wrong_arguments", said.text);
}

#[test]
fn wrong_places_and_tables_are_told_with_what_is_there() {
    let mut said = Transcript::new();
    said.folder
        .write("text.db", "this is no database, and long enough to be told from one that is empty");
    said.run("forebay load topics.csv --into missing.db --table topics")
        .run("forebay load topics.csv --into missing/app.db --table topics --create")
        .run("forebay load topics.csv --into . --table topics")
        .run("forebay load topics.csv --into text.db --table topics")
        .run("forebay load topics.csv --into https://example.org/app.db --table topics")
        .run("forebay load topics.csv --into app.db --table topic")
        .run("forebay load topics.csv --into app.db --table titles --columns title")
        .run("forebay load topics.csv --into app.db --table topics --upsert name")
        .run("forebay load topics.csv --into app.db --table topics --upsert title")
        .run("forebay load topics.csv --into app.db --table log --columns at,what,why,who")
        .run("forebay load topics.csv --into app.db --table topics --columns title,TITLE")
        .run("forebay load topics.csv --into app.db --table topics --upsert id --newest-by at")
        .run_on(
            "forebay load - --format csv --into app.db --table topics --upsert id --linger 1h",
            "title\nno key\n",
        )
        .run("forebay load topics.csv --into app.db --table new --create --upsert key")
        .run("forebay load empty.ndjson --into app.db --table new --create");
    assert_snapshot!("wrong_places_and_tables", said.text);
}

#[test]
fn an_input_that_cannot_be_loaded_is_told_with_what_to_do() {
    let mut said = Transcript::new();
    let lines = "id,title,size,seen\n1,first,0.5,7\n";
    let utf16: Vec<u8> = std::iter::once('\u{FEFF}')
        .chain(lines.chars())
        .flat_map(|one| (one as u16).to_le_bytes())
        .collect();
    let gzip = gzip(lines);
    let zstd = zstd(lines);
    let mut wrong = gzip.clone();
    wrong[10..].fill(0xFF);
    said.run("forebay load missing.csv --into app.db --table topics")
        .run("forebay load topics --into app.db --table topics")
        .run("forebay load - --into app.db --table topics")
        .run("forebay load . --format csv --into app.db --table topics")
        .run("forebay load app.db --format csv --into app.db --table topics")
        .run("forebay load empty.csv --into app.db --table topics")
        .run("forebay load empty.tsv --into app.db --table topics")
        .load("utf16.csv", utf16)
        .load("topics.csv.xz", b"\xFD7zXZ\0 and more")
        .run("forebay load topics.csv.xz --format csv --into app.db --table topics")
        .load("bzip2.csv", b"BZh91AY&SY and more")
        .load("book.csv", b"PK\x03\x04 and more")
        .load("cut.csv.gz", &gzip[..gzip.len() - 12])
        .load("cut.csv.zst", &zstd[..zstd.len() - 12])
        .load("wrong.csv.gz", wrong)
        .load("semicolons.csv", "id;title;size\n1;first;0.5\n")
        .load("tabs.csv", "id\ttitle\n1\tfirst\n")
        .load("commas.tsv", "id,title\n1,first\n")
        .load("headless.csv", "1,first\n2,second\n")
        .load("unnamed.csv", "id,,size\n1,first,0.5\n")
        .load("latin1.csv", b"id,titr\xE9\n1,first\n")
        .load("quote.csv", "id,\"title\n1,first\n")
        .load("twice.csv", "id,title,ID\n1,first,1\n");
    assert_snapshot!("inputs_that_cannot_be_loaded", said.text);
}

#[test]
fn a_rejected_record_is_told_with_its_line_and_the_reason() {
    let mut said = Transcript::new();
    let large = "x".repeat(2 * 1024 * 1024);
    said.load(
        "bad.csv",
        [
            &b"id,title,size,seen\none,word,,\n2,a,b,c\n3,short\n4,\"two\nlines\",1\n5,nul\0,,\n6,\xFF,,\n7,negative,,-1\n"
                [..],
            format!("8,{large},,\n9,good,1,1\n9,again,1,1\n,no key,,\n11,\"open,1,1\n").as_bytes(),
        ]
        .concat(),
    );
    said.load("bad.tsv", "id\ttitle\n20\tone\ttwo\n\tno key\n99999999999999999999\tlarge\n");
    said.load(
        "bad.ndjson",
        [
            &b"[1]\n\"text\"\n{\"id\":30,\n{\"id\":31,\"titel\":\"x\"}\n{\"id\":32,\"title\":null}\n"[..],
            b"{\"id\":33,\"ID\":34}\n{\"id\":35,\"title\":\"\xFF\"}\n{}\n{\"id\":36,\"title\":\"a\",\"seen\":[1]}\n",
        ]
        .concat(),
    );
    let upsert = "forebay load - --format ndjson --into app.db --table topics --upsert id --json \
                  --linger 1h";
    said.run_on(upsert, "{\"id\":null,\"title\":\"a\"}\n{\"title\":\"a\"}\n");
    assert_snapshot!("rejected_records", said.text);
}

#[test]
fn wrong_settings_are_told_with_their_name_and_bound() {
    let mut said = Transcript::new();
    said.folder.write("key.toml", "batch_size = 10\nbach_size = 10\n");
    said.folder.write("type.toml", "linger = 50\n");
    said.folder.write("syntax.toml", "linger = \n");
    said.folder.write("bound.toml", "[retry]\nmax_retries = 99\n");
    let line = "forebay load topics.csv --into app.db --table topics";
    for name in ["missing", "key", "type", "syntax", "bound"] {
        said.run(&format!("{line} --config {name}.toml"));
    }
    said.run(&format!("{line} --batch-size 0")).run(&format!("{line} --linger 2h"));
    assert_snapshot!("wrong_settings", said.text);
}

#[test]
fn a_rejects_file_that_would_lose_lines_is_refused() {
    let mut said = Transcript::new();
    said.folder.write("full.csv", "what is nowhere else");
    let line = "forebay load topics.csv --into app.db --table topics --rejects";
    said.run(&format!("{line} full.csv"))
        .run(&format!("{line} topics.csv"))
        .run(&format!("{line} missing/bad.csv"))
        .run(&format!("{line} ."));
    assert_eq!(said.folder.read("full.csv"), "what is nowhere else");
    assert_eq!(said.folder.count("topics"), 0);
    assert_snapshot!("wrong_rejects_files", said.text);
}

#[test]
fn a_summary_counts_every_record() {
    let mut said = Transcript::new();
    let twelve: String = (0..12).map(|id| format!("{id},title,size\n")).collect();
    said.folder.write("twelve.csv", format!("id,title,size\n{twelve}"));
    let upsert = "--into app.db --table topics --upsert id --linger 1h";
    said.run(&format!("forebay load topics.csv {upsert}"))
        .run(&format!("forebay load topics.csv {upsert} --json"))
        .run(&format!("forebay load empty.ndjson {upsert}"))
        .run(&format!("forebay load twelve.csv {upsert}"))
        .run(&format!("forebay load twelve.csv {upsert} --rejects bad.csv"))
        .run("forebay load topics.csv --into app.db --table made --create --upsert id --linger 1h")
        .run("forebay load topics.ndjson --into new.db --table made --create --upsert title,id --linger 1h --json");
    assert_snapshot!("summaries", said.text);
}

#[test]
fn the_manual_page_names_every_option_and_example() {
    let folder = Folder::with("");
    let help = folder.run("forebay load --help").exits(0).out;
    let page = folder.run("forebay man load").exits(0).out.replace("\\-", "-");
    let options = help.split(|one: char| !one.is_ascii_alphanumeric() && one != '-');
    let options: Vec<_> = options.filter(|word| word.starts_with("--") && word.len() > 2).collect();
    assert!(options.len() > 15, "{options:?}");
    for word in options.into_iter().chain(["Examples:", "Exit codes:", "#forebay:"]) {
        assert!(page.contains(word), "{word} is not in {page}");
    }
    let page = folder.run("forebay man").exits(0).out.replace("\\-", "-");
    assert!(page.contains("forebay-load(1)") && page.contains("forebay-completions(1)"), "{page}");
}

#[test]
fn completions_are_made_for_the_shells_that_people_use() {
    let folder = Folder::with("");
    for (shell, first) in
        [("bash", "_forebay() {"), ("zsh", "#compdef forebay"), ("fish", "function __fish_forebay")]
    {
        let script = folder.run(&format!("forebay completions {shell}")).exits(0).out;
        assert!(script.contains(first), "{script}");
        for option in ["newest-by", "rejects", "ndjson"] {
            assert!(script.contains(option), "{shell} does not complete {option}");
        }
    }
}
