//! Numbers with their units, as people read them.

/// What is told where there is no figure.
pub(crate) const NONE: &str = "–";

const TIMES: [(f64, &str); 4] = [(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")];
const BYTES: [(f64, &str); 4] =
    [(1.0, "B"), (1024.0, "KiB"), (1_048_576.0, "MiB"), (1_073_741_824.0, "GiB")];

/// With a comma at every third digit.
pub fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = if number <= -0.5 { "-".to_owned() } else { String::new() };
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// To about three digits: `16,924`, `41.9`, `2.54`, `0.018`.
pub fn number(number: f64) -> String {
    match number.abs() {
        size if size >= 99.95 => grouped(number),
        size if size >= 9.995 => format!("{number:.1}"),
        0.0 => "0".to_owned(),
        size if size < 0.0005 => "<0.001".to_owned(),
        size if size < 0.095 => format!("{number:.3}"),
        _ => format!("{number:.2}"),
    }
}

/// For sentences, to two digits or a whole number: `33`, `2.8`, `0.45`.
pub(crate) fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 9.95 => grouped(ratio),
        ratio if ratio >= 0.995 => format!("{ratio:.1}"),
        ratio => number(ratio),
    }
}

/// To three digits, without a fraction where it is none: `489`, `31.6k`, `1.04M`.
pub(crate) fn short(number: f64) -> String {
    let units = [(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")];
    let (scaled, unit) = scaled(number, &units, 999.5);
    match scaled {
        whole if unit.is_empty() && whole >= 9.995 => format!("{whole:.0}"),
        scaled => format!("{}{unit}", trimmed(three_digits(scaled))),
    }
}

/// Seconds: `21 µs`, `1.2 ms`, `186 ms`.
pub fn time(seconds: f64) -> String {
    if seconds == 0.0 { "0 s".to_owned() } else { with_unit(seconds, &TIMES) }
}

/// `1 row`, `5,000 rows`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number as f64))
}

/// Bytes: `9.2 MiB`.
pub fn bytes(bytes: f64) -> String {
    with_unit(bytes, &BYTES)
}

/// Two, as one: `20.1 to 22.0` in sentences.
pub(crate) fn between(lower: f64, upper: f64, tell: impl Fn(f64) -> String) -> String {
    format!("{} to {}", tell(lower), tell(upper))
}

/// Names in a sentence: `a, b and c`.
pub(crate) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// A name of the user's in a sentence.
pub(crate) fn named(name: &str) -> String {
    format!("`{name}`")
}

fn with_unit(number: f64, units: &[(f64, &'static str)]) -> String {
    let (scaled, unit) = scaled(number, units, 999.5);
    match scaled {
        0.0 => format!("0 {unit}"),
        few if few < 9.95 => format!("{} {unit}", trimmed(format!("{few:.1}"))),
        many => format!("{many:.0} {unit}"),
    }
}

/// In the largest unit of which there is one, and the next where it would be rounded up to that.
fn scaled(number: f64, units: &[(f64, &'static str)], full: f64) -> (f64, &'static str) {
    let fits = |(size, _): &&(f64, &str)| number / size < full;
    let (size, unit) = units.iter().find(fits).or(units.last()).copied().unwrap_or((1.0, ""));
    (number / size, unit)
}

fn three_digits(number: f64) -> String {
    match number {
        number if number >= 99.95 => format!("{number:.0}"),
        number if number >= 9.995 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}

fn trimmed(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_in_which_they_are_short() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (63e-9, "63 ns"),
            (21.1e-6, "21 µs"),
            (999.7e-6, "1 ms"),
            (1.24e-3, "1.2 ms"),
            (9.97e-3, "10 ms"),
            (0.185_6, "186 ms"),
            (1.786, "1.8 s"),
            (4_000.0, "4000 s"),
        ] {
            assert_eq!(time(seconds), text);
        }
        assert_eq!(bytes(9.6 * 1_048_576.0), "9.6 MiB");
        assert_eq!(bytes(21_925_888.0), "21 MiB");
    }

    #[test]
    fn numbers_have_about_three_digits() {
        for (given, text) in [
            (1_444.8, "1,445"),
            (99.96, "100"),
            (41.94, "41.9"),
            (2.54, "2.54"),
            (0.78, "0.78"),
            (0.018_3, "0.018"),
            (0.000_4, "<0.001"),
            (0.0, "0"),
        ] {
            assert_eq!(number(given), text);
        }
        for (given, text) in
            [(1.0, "1"), (489.4, "489"), (999.6, "1k"), (31_612.8, "31.6k"), (1_041_554.0, "1.04M")]
        {
            assert_eq!(short(given), text);
        }
        assert_eq!(
            (times(32.95), times(2.77), times(0.45)),
            ("33".into(), "2.8".into(), "0.45".into())
        );
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(
            (counted(1, "row"), counted(5_000, "row")),
            ("1 row".into(), "5,000 rows".into())
        );
        assert_eq!(grouped(-1_234.0), "-1,234");
    }
}
