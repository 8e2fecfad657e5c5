//! A segment in the middle of what was left is damaged: it is refused by name, and a salvage keeps all the rest.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use fastrand::Rng;
use forebay::spool::{Segment, SegmentState, Unread, inspect, salvage};
use support::{Seen, Trial};

use super::{Place, contents};

const DECIDED: i64 = 150;
const ROWS: i64 = 1_000;

/// What a segment begins with, before its rows.
const HEADER: usize = 64;

/// What each row takes, and how much of it there is before the zeros that follow.
const UNIT: usize = 40;
const ROW: usize = 33;

/// Damages a segment, of which this many bytes are rows, and returns whether what is wrong is within it.
type Damage = fn(&Path, usize, &mut Rng);

const DAMAGES: [(&str, Damage); 4] =
    [("flipped", flip), ("a hole", hole), ("missing", remove), ("truncated", truncate)];

fn change(path: &Path, at: usize, length: usize, change: impl Fn(&mut [u8])) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at as u64).unwrap();
    let before = bytes.clone();
    change(&mut bytes);
    assert_ne!(bytes, before, "nothing is damaged");
    file.write_all_at(&bytes, at as u64).unwrap();
}

fn flip(path: &Path, rows: usize, random: &mut Rng) {
    let bit = random.u8(..8);
    // A row is followed by zeros, which say nothing.
    let unit = random.usize(..rows / UNIT);
    change(path, HEADER + unit * UNIT + random.usize(..ROW), 1, |bytes| bytes[0] ^= 1 << bit);
}

fn hole(path: &Path, rows: usize, random: &mut Rng) {
    let length = random.usize(64..rows);
    let at = HEADER + random.usize(0..rows - length);
    change(path, at, length, |bytes| bytes.fill(0));
}

fn remove(path: &Path, _: usize, _: &mut Rng) {
    fs::remove_file(path).unwrap();
}

fn truncate(path: &Path, rows: usize, random: &mut Rng) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(random.usize(0..HEADER + rows) as u64).unwrap();
}

/// The segments that hold rows, but for the first and the last.
fn in_the_middle(place: &Place) -> Vec<Segment> {
    let mut segments = inspect(place.folder()).unwrap().segments;
    segments.retain(|segment| segment.state == SegmentState::Sealed && segment.rows > 0);
    assert!(segments.len() >= 4, "{segments:#?}");
    segments.remove(0);
    segments
}

fn says(unread: &[Unread], id: i64) -> bool {
    unread.iter().any(|unread| {
        unread.first_row.is_some_and(|first| first <= id as u64)
            && unread.last_row.is_none_or(|last| id as u64 <= last)
    })
}

#[test]
fn a_damaged_segment_in_the_middle_is_refused_by_name_and_a_salvage_keeps_the_rest() {
    Trial::of(
        27,
        "spool: flipped byte, hole, missing or truncated segment in the middle",
        "by turns, at any place of any segment but the first and the last of some ten that a process left; then a salvage, and a buffer \
         that writes what it has kept. Rows that are gone with the damage and that the salvage has named do not count as lost",
    )
    .rounds(8, 400)
    .run(|round| {
        let mut random = Rng::with_seed(round as u64);
        let place = Place::left(DECIDED, ROWS);
        let segments = in_the_middle(&place);
        let Segment { file, first_row, rows, bytes, .. } = random.choice(&segments).unwrap();
        let (kind, damage) = DAMAGES[round % DAMAGES.len()];
        assert_eq!(*bytes as u64, rows * UNIT as u64, "rows are of this length");
        damage(file, *bytes, &mut random);

        let text = place.refusal();
        let name = file.file_name().unwrap().to_string_lossy();
        let range = first_row..&(first_row + rows);
        assert!(text.contains("the spool is damaged"), "{text}");
        if kind == "missing" {
            let missing = format!("rows {} to {} are missing", range.start, range.end - 1);
            assert!(text.contains(&missing), "{text}");
        } else {
            assert!(text.contains(&*name) && text.contains("bytes "), "{text}");
        }
        let advice = format!("`forebay spool salvage {}`", place.folder().display());
        assert!(text.contains("nothing was changed") && text.contains(&advice), "{text}");

        let key = inspect(place.folder()).unwrap().id.expect("its id is not damaged");
        let applied: i64 =
            place.scratch.value("SELECT applied FROM _forebay WHERE spool = ?1", [key]);
        assert_eq!(applied, DECIDED);
        let before = contents(&place.folder());
        let salvaged = salvage(place.folder(), Some(DECIDED as u64)).unwrap();
        assert_eq!(contents(&salvaged.set_aside), before, "it is set aside as it was");
        let rows_of = |unread: &Unread| Some((unread.first_row?, unread.last_row?));
        let named: Vec<_> = salvaged.unread.iter().filter_map(rows_of).collect();
        assert!(!named.is_empty(), "{salvaged:#?}");
        for (first, last) in named {
            // What is named is what was damaged, and nothing around it.
            assert!(range.contains(&&first) && range.contains(&&last), "{salvaged:#?}");
        }

        let stats = place.drain();
        assert_eq!(stats.replayed, salvaged.kept, "{salvaged:#?}");
        let landed: Vec<i64> = place.scratch.column("SELECT id FROM landed ORDER BY rowid");
        assert!(landed.is_sorted(), "out of order");
        assert_eq!(landed.len() as u64, salvaged.kept + DECIDED as u64);
        let known = landed.iter().filter(|id| says(&salvaged.unread, **id)).count();
        assert_eq!(known, 0, "rows that are there are said to be unread: {salvaged:#?}");
        let promised = (0..ROWS).filter(|id| !says(&salvaged.unread, *id));
        Seen { rows: ROWS as u64, ..Seen::in_table(&place.path(), promised) }
    });
}
