//! Spools as a process leaves them that was killed, written byte for byte by what the format says, and not by forebay itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::support::Folder;

/// Which spool it is: what the database keeps its books under.
pub(crate) const ID: &str = "000000000000beef0000000000000007";
const SPOOL: u128 = 0xBEEF << 64 | 7;
const EPOCH: u32 = 3;
const HEADER: usize = 64;
const CAPACITY: usize = 4_096;
/// What the rows hold, which nobody is to be shown.
pub(crate) const SECRET: &str = "nobody's business";
/// The tables that the rows are for, and the books.
pub(crate) const TABLES: &str = "CREATE TABLE states(id INTEGER PRIMARY KEY, state TEXT);
    CREATE TABLE notes(what TEXT);
    CREATE TABLE _forebay(spool TEXT PRIMARY KEY, applied INTEGER NOT NULL, told INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE _forebay_rejected(spool TEXT NOT NULL, seq INTEGER NOT NULL, letter TEXT NOT NULL,
        PRIMARY KEY(spool, seq)) STRICT, WITHOUT ROWID;";

/// A folder with a spool `app.spool`, whose segments have so many rows each, and the database `app.db` that has decided as many
/// as `applied`. Every third row is for `notes`, the others are for `states`.
pub(crate) fn folder(first: u64, segments: &[u64], applied: u64) -> Folder {
    let folder = Folder::with(TABLES);
    enter(&folder, applied);
    write(&folder.path("app.spool"), first, segments);
    folder
}

/// Has the database have decided so many rows.
pub(crate) fn enter(folder: &Folder, applied: u64) {
    let sql = format!("INSERT OR REPLACE INTO _forebay VALUES ('{ID}', {applied}, {applied})");
    folder.connection().execute_batch(&sql).unwrap();
}

/// Writes a spool.
pub(crate) fn write(folder: &Path, first: u64, segments: &[u64]) {
    fs::create_dir(folder).unwrap();
    identity(folder, "app.db", true);
    let states = r#"{"Upsert":{"key":["id"],"newest_by":null}}"#;
    let lines =
        definition(0, "states", states, r#"["id","state"]"#, r#"[0],"key_types":["Integer"]"#)
            + &definition(1, "notes", r#""Insert""#, r#"["what"]"#, r#"[],"key_types":[]"#);
    for name in ["", ".copy"] {
        fs::write(folder.join(format!("shapes-{EPOCH:08}{name}")), &lines).unwrap();
    }
    let mut seq = first;
    for (at, &rows) in segments.iter().enumerate() {
        let number = at as u32 + 1;
        let is_last = at + 1 == segments.len();
        fs::write(segment(folder, number), bytes(number, seq, rows, is_last)).unwrap();
        seq += rows;
    }
}

/// Writes `spool.json`.
pub(crate) fn identity(folder: &Path, database: &str, is_open: bool) {
    let json = |check: &str| {
        format!(
            r#"{{"format":1,"spool":"{ID}","epoch":{EPOCH},"open":{is_open},"database":"{database}","boot":null,"check":"{check}"}}"#
        )
    };
    let check = format!("{:08x}", crc32c::crc32c(json("").as_bytes()));
    fs::write(folder.join("spool.json"), json(&check)).unwrap();
}

/// Has the segments be written a good while ago.
pub(crate) fn age(folder: &Folder) {
    let long_ago = SystemTime::now() - Duration::from_secs(190);
    for entry in fs::read_dir(folder.path("app.spool")).unwrap().map(Result::unwrap) {
        fs::File::options().write(true).open(entry.path()).unwrap().set_modified(long_ago).unwrap();
    }
}

/// Where a segment is.
pub(crate) fn segment(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("segment-{number:08}"))
}

/// Flips a bit in the rows of a segment.
pub(crate) fn damage(folder: &Path, number: u32) {
    let path = segment(folder, number);
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER + 30] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn definition(number: u16, table: &str, operation: &str, columns: &str, key: &str) -> String {
    let json = format!(
        r#"{{"number":{number},"target":{{"table":"{table}","operation":{operation},"coalesce":false,"unordered":false,"max_shapes":16}},"fields":{columns},"positional":false,"columns":{columns},"parameters":[],"key":{key},"newest":null}}"#
    );
    format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()))
}

fn bytes(number: u32, first: u64, rows: u64, is_last: bool) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(b"FOREBAY\0");
    bytes[16..20].copy_from_slice(&1_u32.to_le_bytes());
    bytes[20..24].copy_from_slice(&number.to_le_bytes());
    bytes[24..40].copy_from_slice(&SPOOL.to_le_bytes());
    bytes[40..48].copy_from_slice(&first.to_le_bytes());
    bytes[48..52].copy_from_slice(&EPOCH.to_le_bytes());
    bytes[52..56].copy_from_slice(&(CAPACITY as u32).to_le_bytes());
    let sealed: u32 = if is_last { 0 } else { 0x5EA1_ED0F };
    bytes[56..60].copy_from_slice(&sealed.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..8]), &bytes[16..56]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    (first..first + rows).for_each(|seq| unit(&mut bytes, seq));
    let end = bytes.len();
    let salt = (first ^ SPOOL as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ u64::from(EPOCH).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    let mixed = (end as u64 + 1).wrapping_mul(0xA076_1D64_78BD_642F) ^ salt;
    bytes[8..16].copy_from_slice(&(mixed & 0xFFFF_FFFF_0000_0000 | end as u64).to_le_bytes());
    assert!(end <= CAPACITY, "{end} bytes");
    bytes.resize(CAPACITY, 0);
    bytes
}

fn unit(bytes: &mut Vec<u8>, seq: u64) {
    let mut values = Vec::new();
    let shape: u16 = if seq.is_multiple_of(3) { 1 } else { 0 };
    if shape == 0 {
        values.push(1);
        values.extend((seq as i64).to_le_bytes());
    }
    let text = format!("{SECRET} {seq}");
    values.push(3);
    values.extend((text.len() as u32).to_le_bytes());
    values.extend(text.as_bytes());
    let mut frame = (8 + values.len() as u32).to_le_bytes().to_vec();
    frame.extend(shape.to_le_bytes());
    frame.extend([0, 0]);
    frame.extend(values);
    let place = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ u64::from(EPOCH).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    let place = (place ^ (place >> 32)).wrapping_mul(0xA076_1D64_78BD_642F);
    let check = crc32c::crc32c(&frame) ^ (place >> 32) as u32;
    bytes.extend(check.to_le_bytes());
    bytes.extend(EPOCH.to_le_bytes());
    bytes.extend(seq.to_le_bytes());
    bytes.extend(frame);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}
