//! What the sinks of SQL databases share: how a name is quoted, and what a statement is by its first word.

/// A name as SQL quotes it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The start of a statement's text, on one line.
pub fn shortened(sql: &str) -> String {
    const LONGEST: usize = 60;
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The first word of a statement in upper case, behind blanks and comments.
pub fn first_word(sql: &str) -> String {
    let mut rest = sql;
    loop {
        // SQLite takes a byte order mark for a blank.
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';' || c == '\u{feff}');
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, rest)| rest)
        } else {
            return rest
                .chars()
                .take_while(char::is_ascii_alphabetic)
                .collect::<String>()
                .to_ascii_uppercase();
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_hold() {
        assert_eq!(quoted("a\"; DROP TABLE t; --"), "\"a\"\"; DROP TABLE t; --\"");
    }

    #[test]
    fn the_first_word_is_found_behind_comments() {
        assert_eq!(first_word(" -- insert\n/* update */ ; Delete FROM t"), "DELETE");
        assert_eq!(first_word("\u{feff}/**/\u{feff}commit"), "COMMIT");
        assert_eq!(first_word("-- nothing"), "");
    }
}
