//! What holds of any bytes as a segment, for the tests and the fuzzer.

use std::path::Path;

use super::definition::Definitions;
use super::format::{HEADER, Header, PUBLISHED, check_of, envelope, read_unit, unit_bytes};
use super::gather::Gathered;
use super::image::{State, check_unit, units};

/// Checks that any bytes are read as they were written or refused: as a whole segment, as what follows a sound header,
/// and as the frames of a unit.
///
/// # Panics
///
/// When it does not hold.
pub fn check_segment(bytes: &[u8]) {
    check_whole(bytes);
    let header = Header { number: 1, spool: 1, first_seq: 9, epoch: 2, capacity: 0 };
    check_whole(&segment(header, bytes));
    let mut unit = envelope(check_of(bytes), 2, 9).to_vec();
    unit.extend_from_slice(bytes);
    unit.resize(unit_bytes(bytes.len()), 0);
    check_whole(&segment(header, &unit));
    if let Some(read) = read_unit(&unit, 0) {
        assert_eq!((read.epoch, read.seq, read.end), (2, 9, unit.len()));
        assert_eq!(&unit[read.frames], bytes);
    }
}

/// A segment whose header says that all of these bytes were accepted.
fn segment(header: Header, bytes: &[u8]) -> Vec<u8> {
    let Ok(capacity) = u32::try_from(HEADER + bytes.len()) else { return Vec::new() };
    let header = Header { capacity, ..header };
    let mut segment = header.encode().to_vec();
    segment[PUBLISHED].copy_from_slice(&header.published(capacity).to_le_bytes());
    segment.extend_from_slice(bytes);
    segment
}

fn check_whole(bytes: &[u8]) {
    let path = Path::new("segment-00000001");
    let mut gathered = Gathered { files: vec![path.to_owned()], ..Gathered::default() };
    // Refused, or gone through to its end; which of the two, any bytes may choose.
    let _ = gathered.read(path, bytes, 1);
    for run in &gathered.runs {
        assert!(run.bytes.end <= bytes.len() && !run.rows.is_empty());
    }
    let Ok(State::Used { header, end, .. }) = State::read(bytes) else { return };
    let (mut at, mut seq) = (HEADER, header.first_seq);
    for unit in units(bytes, header, end).map_while(Result::ok) {
        assert_eq!((unit.epoch, unit.seq), (header.epoch, seq));
        let head = envelope(check_of(&bytes[unit.frames.clone()]), unit.epoch, unit.seq);
        assert!(bytes[at..].starts_with(&head), "it is what was written");
        let known = check_unit(bytes, &unit, &Definitions::default(), |_, _| {});
        assert!(known.is_err(), "nobody has said what its shape means");
        (at, seq) = (unit.end, seq + unit.rows);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_refused_or_read_as_they_were_written(bytes in vec(any::<u8>(), 0..300)) {
            check_segment(&bytes);
        }
    }

    #[test]
    fn a_sequence_number_at_the_end_of_all_is_no_overflow() {
        let mut frame = vec![8, 0, 0, 0, 0, 0, 0, 0];
        let mut unit = envelope(check_of(&frame), 2, u64::MAX).to_vec();
        unit.append(&mut frame);
        let header = Header { number: 1, spool: 1, first_seq: u64::MAX, epoch: 2, capacity: 0 };
        check_whole(&segment(header, &unit));
    }
}
