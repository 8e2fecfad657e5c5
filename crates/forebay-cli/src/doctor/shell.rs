//! Names of files and processes, which may hold anything, as they can be shown and pasted.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The text without control characters, which a terminal would obey.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A path as one word of a shell's command line.
pub(crate) fn quoted(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let folder = if bytes.starts_with(b"-") { "./" } else { "" };
    match path.to_str() {
        Some(text) if !text.contains(|one: char| one.is_control() || one == '`') => {
            let text = format!("{folder}{text}");
            shlex::try_quote(&text).map_or_else(|_| text.clone(), Into::into)
        }
        // As bash, zsh and ksh have it: no character that a terminal obeys.
        _ => {
            let mut word = format!("$'{folder}");
            for &byte in bytes {
                match byte {
                    b'\'' | b'\\' => word.extend(['\\', byte.into()]),
                    b'`' => word.push_str("\\140"),
                    0x20..0x7F => word.push(byte.into()),
                    _ => word.push_str(&format!("\\{byte:03o}")),
                }
            }
            word + "'"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        let names: [(&[u8], &str); 6] = [
            (b"app.db", "app.db"),
            (b"my app.db", "'my app.db'"),
            (b"-rf", "./-rf"),
            (b"it's", "\"it's\""),
            (b"a\nb\x1b[31m'", "$'a\\012b\\033[31m\\''"),
            (b"\xFF`id`", "$'\\377\\140id\\140'"),
        ];
        for (name, word) in names {
            assert_eq!(quoted(Path::new(OsStr::from_bytes(name))), word);
        }
    }

    #[test]
    fn nothing_that_is_shown_moves_the_cursor() {
        assert_eq!(visible("a\u{1b}[2Jb\r\n\u{9b}é"), "a\\u{1b}[2Jb\\r\\n\\u{9b}é");
    }
}
