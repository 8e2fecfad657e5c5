//! Numbers in sentences.

/// With a comma at every third digit.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 field`, `2 fields`.
pub fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Names with commas between them, as many as a message should have.
pub fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const MOST: usize = 20;
    let rest = names.len().saturating_sub(MOST);
    let listed = names.take(MOST).collect::<Vec<_>>().join(", ");
    if rest == 0 { listed } else { format!("{listed} and {rest} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_list_ends_where_nobody_reads_on() {
        assert_eq!(listed(["a", "b"].into_iter()), "a, b");
        let names = vec!["x"; 23];
        assert!(listed(names.into_iter()).ends_with("x, x and 3 more"));
    }
}
