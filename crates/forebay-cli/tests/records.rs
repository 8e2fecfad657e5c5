//! What the command reads from any input, held against what was written and what other readers find in it.

#[path = "records/lines.rs"]
mod lines;
#[path = "records/rows.rs"]
mod rows;

use std::collections::BTreeMap;
use std::fs;
use std::panic;
use std::path::Path;

use forebay_cli::load::records::{Broken, Format};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/records/regressions.txt");

/// More than any record here has.
const PLENTY: usize = 1024 * 1024;

/// What the readers have reasons to take apart.
const SPECIAL: [&str; 26] = [
    "\"",
    "\"\"",
    ",",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\u{FEFF}",
    "#forebay:",
    "{",
    "}",
    "[",
    "]",
    ":",
    "\\",
    "\\u00",
    "\0",
    " ",
    "~",
    "\"id\":1",
    "\"text\":",
    "null",
    "9223372036854775808",
    "-1e400",
    "1.5",
    "é",
];

fn settings() -> Config {
    Config {
        cases: 500,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        ..Config::default()
    }
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Csv), Just(Format::Tsv), Just(Format::Ndjson)]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let special = (0..SPECIAL.len()).prop_map(|at| SPECIAL[at].as_bytes().to_vec());
    let piece = prop_oneof![6 => special, 2 => "[a-z0-9]{1,4}".prop_map(String::into_bytes),
        1 => any::<u8>().prop_map(|byte| vec![byte])];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Tables whose rows have `columns` fields.
fn table(
    columns: impl Into<proptest::collection::SizeRange> + Clone,
    field: &'static str,
) -> impl Strategy<Value = Vec<Vec<String>>> {
    vec(vec(field, columns), 0..12)
}

/// The fields of all records.
fn fields(format: Format, input: &[u8], cuts: u8) -> Vec<Vec<String>> {
    let items = lines::read(format, input, PLENTY, cuts);
    assert!(items.iter().all(|item| item.broken.is_none()), "{items:?}");
    let text = |field| String::from_utf8(field).expect("text");
    items.into_iter().map(|item| item.fields.into_iter().map(text).collect()).collect()
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn a_table_written_as_csv_comes_back_wherever_reads_are_cut(
        table in table(1..6, "[a-c \"',;#\t\r\né]{0,6}"),
        always in any::<bool>(),
        crlf in any::<bool>(),
        cuts in any::<u8>(),
    ) {
        let mut writer = csv::WriterBuilder::new();
        writer.flexible(true);
        if always {
            writer.quote_style(csv::QuoteStyle::Always);
        }
        if crlf {
            writer.terminator(csv::Terminator::CRLF);
        }
        let mut writer = writer.from_writer(Vec::new());
        for row in &table {
            writer.write_record(row)?;
        }
        let written = writer.into_inner().expect("memory takes it");
        prop_assert_eq!(fields(Format::Csv, &written, cuts), table);
    }

    #[test]
    fn a_table_written_as_tsv_comes_back_wherever_reads_are_cut(
        // A line with nothing in it is no row.
        table in table(2..6, "[a-c \"',;#é]{0,6}"),
        crlf in any::<bool>(),
        cuts in any::<u8>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let written: String = table.iter().map(|row| row.join("\t") + end).collect();
        prop_assert_eq!(fields(Format::Tsv, written.as_bytes(), cuts), table);
    }

    #[test]
    fn objects_written_as_ndjson_come_back_wherever_reads_are_cut(
        table in vec(proptest::collection::btree_map("\\PC{0,3}", any::<String>(), 0..4), 0..12),
        crlf in any::<bool>(),
        cuts in any::<u8>(),
    ) {
        let mut written = String::new();
        for row in &table {
            written += &serde_json::to_string(row)?;
            written += if crlf { "\r\n" } else { "\n" };
        }
        let items = lines::read(Format::Ndjson, written.as_bytes(), PLENTY, cuts);
        let rows: Vec<BTreeMap<String, String>> =
            items.iter().map(|item| serde_json::from_slice(&item.raw)).collect::<Result<_, _>>()?;
        prop_assert_eq!(rows, table);
    }

    #[test]
    fn of_any_input_no_byte_is_lost_wherever_reads_are_cut(
        format in format(),
        input in bytes(),
        max_bytes in prop_oneof![1..64_usize, Just(PLENTY)],
        cuts in any::<u8>(),
    ) {
        lines::check(format, &input, max_bytes, cuts);
    }

    #[test]
    fn any_record_becomes_the_row_that_it_says_or_is_refused_without_a_word_of_it(
        format in format(),
        input in bytes(),
        choice in any::<u8>(),
    ) {
        rows::check(format, &input, choice);
    }
}

/// The lines of an input, each with its bytes, or with nothing and why it is broken.
fn summary(format: Format, input: &[u8], max_bytes: usize, cuts: u8) -> Vec<(u64, String)> {
    let items = lines::read(format, input, max_bytes, cuts).into_iter();
    let text = |item: lines::Seen| match item.broken {
        None => String::from_utf8_lossy(&item.raw).into_owned(),
        Some(why) => format!("{why:?}"),
    };
    items.map(|item| (item.line, text(item))).collect()
}

#[test]
fn whether_a_line_is_too_long_does_not_depend_on_how_much_was_read_at_once() {
    let lines = |format, input| {
        let at_once = summary(format, input, 4, 0);
        assert_eq!(at_once, summary(format, input, 4, 1));
        at_once.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
    };
    for format in [Format::Csv, Format::Tsv, Format::Ndjson] {
        assert_eq!(
            lines(format, b"1234\n12345\n1\n12345"),
            ["1234", "TooLong(4)", "1", "TooLong(4)"]
        );
    }
    let quoted = lines(Format::Csv, b"\"a\nb\"\n\"cdef\n\"\n1,2\n");
    assert_eq!(quoted, ["OpenQuote", "b\"", "TooLong(4)", "OpenQuote", "1,2"]);
}

#[test]
fn a_byte_order_mark_that_is_not_at_the_start_is_part_of_its_record() {
    const MARK: &str = "\u{FEFF}";
    for cuts in [0, 1] {
        let read = |input: String| fields(Format::Csv, input.as_bytes(), cuts);
        assert_eq!(read(format!("{MARK}{MARK}a,b\n")), [[format!("{MARK}a"), "b".to_owned()]]);
        assert_eq!(read(format!("\n{MARK}")), [[MARK]]);
        // A quote left open has the reader begin anew.
        let input = format!("\"a\n{MARK}b");
        let items = lines::read(Format::Csv, input.as_bytes(), PLENTY, cuts);
        assert_eq!(items[1].fields, [format!("{MARK}b").into_bytes()]);
    }
}

#[test]
fn lines_that_all_leave_a_quote_open_are_read_in_time_that_grows_with_their_number() {
    // As programs write it that put a backslash before a quote.
    let line = br#""nail","19\"""#;
    let input = [line, &b"\n"[..]].concat().repeat(100_000);
    for max_bytes in [64 * 1024, 8 * PLENTY] {
        let items = lines::read(Format::Csv, &input, max_bytes, 0);
        assert_eq!(items.len(), 100_000);
        assert!(items.iter().all(|item| item.broken == Some(Broken::OpenQuote)));
        assert!(items.iter().all(|item| item.raw == line));
    }
}

#[test]
fn the_fuzzers_corpus_keeps_the_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (target, check) in
        [("records", lines::fuzz as fn(&[u8])), ("rows", rows::fuzz as fn(&[u8]))]
    {
        let mut count = 0;
        for file in fs::read_dir(corpus.join(target)).expect("a folder") {
            let path = file.expect("an entry").path();
            let bytes = fs::read(&path).expect("a file");
            let checked = panic::catch_unwind(|| check(&bytes));
            assert!(checked.is_ok(), "{} does not", path.display());
            count += 1;
        }
        assert!(count >= 20, "{target} has {count} files");
    }
}
