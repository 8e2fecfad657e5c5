//! A spool of a later version, of another database, or of another time than its database.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use forebay::WriteBuffer;
use forebay::spool::{SegmentState, inspect};
use support::{Scratch, Seen, Trial};

use super::{Place, Row, contents, rows_of};

const DECIDED: i64 = 150;
const ROWS: i64 = 500;

/// CRC-32C, bit by bit.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg())
        })
    })
}

/// Gives a segment the next format, as a later version does.
fn make_newer(segment: &Path) {
    let file = File::options().read(true).write(true).open(segment).unwrap();
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0).unwrap();
    let crc = |header: &[u8]| crc32c(header[..8].iter().chain(&header[16..56]).copied());
    assert_eq!(header[60..], crc(&header).to_le_bytes(), "this is where the check is");
    header[16..20].copy_from_slice(&2_u32.to_le_bytes());
    let check = crc(&header);
    header[60..].copy_from_slice(&check.to_le_bytes());
    file.write_all_at(&header, 0).unwrap();
}

fn a_newer_format(round: usize) -> Seen {
    let place = Place::left(DECIDED, ROWS);
    let mut segments = inspect(place.folder()).unwrap().segments;
    segments.retain(|segment| segment.state != SegmentState::Free);
    let file = match round % 2 {
        0 => place.folder().join("spool.json"),
        _ => segments[round % segments.len()].file.clone(),
    };
    let ours = fs::read(&file).unwrap();
    match round % 2 {
        0 => fs::write(&file, r#"{"format":2,"rows":"elsewhere"}"#).unwrap(),
        _ => make_newer(&file),
    }
    let text = place.refusal();
    assert!(text.contains("written by a newer forebay"), "{text}");
    assert!(
        text.contains("has format 2, this version reads format 1; nothing was changed"),
        "{text}"
    );
    fs::write(&file, ours).unwrap();
    place.drain();
    place.look(ROWS)
}

fn another_database(_: usize) -> Seen {
    let place = Place::left(DECIDED, ROWS);
    let other = Scratch::new(Seen::SCHEMA);
    let before = contents(&place.folder());
    let opened = WriteBuffer::builder(other.path()).config(place.config()).open();
    let text = format!("{:#}", opened.map(drop).unwrap_err());
    assert!(text.contains(&other.path().display().to_string()), "{text}");
    assert!(text.contains("of another database") && text.contains("nothing was changed"), "{text}");
    assert_eq!(contents(&place.folder()), before);
    let tables: i64 = other.value("SELECT count(*) FROM sqlite_schema", []);
    assert_eq!(tables, 1, "the other database is as it was, too");
    place.drain();
    place.look(ROWS)
}

/// Puts one database in the place of another, whose log is in it.
fn replace(database: &Path, by: &Path) {
    for log in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(database.with_extension(log));
    }
    fs::rename(by, database).unwrap();
}

fn a_database_from_a_backup(_: usize) -> Seen {
    let place = Place::left(0, DECIDED);
    let backup = place.path().with_file_name("backup.db");
    place.scratch.connection().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    let buffer = place.open().unwrap();
    let rows = rows_of(&buffer);
    (DECIDED..ROWS).for_each(|id| rows.push(&Row { id }).unwrap());
    buffer.flush().unwrap();
    let lock = super::lock(&place.path());
    (ROWS..2 * ROWS).for_each(|id| rows.push(&Row { id }).unwrap());
    buffer.close_within(std::time::Duration::ZERO).unwrap();
    drop((lock, rows, buffer));

    let newer = place.path().with_file_name("newer.db");
    fs::rename(place.path(), &newer).unwrap();
    replace(&place.path(), &backup);
    let text = place.refusal();
    for said in [
        "has an earlier state than the spool",
        "as after a backup was restored",
        "rows 0 to",
        "nothing was changed",
    ] {
        assert!(text.contains(said), "{text}");
    }
    let landed: i64 = place.scratch.value("SELECT count(*) FROM landed", []);
    assert_eq!(landed, 0);
    replace(&place.path(), &newer);
    place.drain();
    place.look(2 * ROWS)
}

#[test]
fn a_spool_that_cannot_be_used_as_it_is_stays_as_it_is() {
    Trial::of(
        28,
        "spool: newer format; other database; database restored from backup",
        "by turns: the next format in `spool.json` or in any segment, with its check right; a database that has never heard of the spool; \
         one that was restored from a backup. Refused, then put right again",
    )
    .rounds(8, 200)
    .run(|round| match round % 4 {
        0 | 1 => a_newer_format(round / 4 * 2 + round % 2),
        2 => another_database(round),
        _ => a_database_from_a_backup(round),
    });
}
