//! As much of PostgreSQL's protocol as the proxy needs: where messages end, which of them is a COMMIT, and when that is answered.

use std::collections::HashMap;

/// What a client has sent, message by message.
#[derive(Default)]
pub(crate) struct Requests {
    bytes: Vec<u8>,
    has_started: bool,
    is_encrypted: bool,
    /// Whether the prepared statement, or the portal, of a name is a COMMIT.
    statements: HashMap<Vec<u8>, bool>,
    portals: HashMap<Vec<u8>, bool>,
}

/// What a server has sent.
#[derive(Default)]
pub(crate) struct Answers {
    bytes: Vec<u8>,
    has_started: bool,
    is_encrypted: bool,
    /// Whether a COMMIT was done since the server last waited for a transaction.
    committed: bool,
}

/// What a client sends before its first message, instead of it: that it wants encryption, or to cancel something.
const SPECIAL: std::ops::RangeInclusive<u32> = 80_877_102..=80_877_104;

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

impl Requests {
    /// Takes what was read.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, and whether it is a COMMIT.
    pub(crate) fn next(&mut self) -> Option<(Vec<u8>, bool)> {
        self.is_encrypted |= !self.has_started && self.bytes.first() == Some(&HANDSHAKE);
        if self.is_encrypted {
            let all = std::mem::take(&mut self.bytes);
            return (!all.is_empty()).then_some((all, false));
        }
        let type_bytes = usize::from(self.has_started);
        let length = type_bytes + number(self.bytes.get(type_bytes..)?)? as usize;
        if self.bytes.len() < length {
            return None;
        }
        let message: Vec<u8> = self.bytes.drain(..length).collect();
        if !self.has_started {
            let code = number(&message[4..]).unwrap_or_default();
            self.has_started = !SPECIAL.contains(&code);
            return Some((message, false));
        }
        let commits = self.commits(message[0], &message[5..]);
        Some((message, commits))
    }

    fn commits(&mut self, of: u8, body: &[u8]) -> bool {
        let mut texts = body.split(|&byte| byte == 0);
        let mut text = || texts.next().unwrap_or_default();
        match of {
            b'Q' => is_commit(text()),
            b'P' => {
                let name = text().to_owned();
                self.statements.insert(name, is_commit(text()));
                false
            }
            b'B' => {
                let portal = text().to_owned();
                let commits = self.statements.get(text()).copied().unwrap_or_default();
                self.portals.insert(portal, commits);
                false
            }
            b'E' => self.portals.get(text()).copied().unwrap_or_default(),
            _ => false,
        }
    }
}

impl Answers {
    /// Takes what was read. Once the server waits for the next transaction: whether a COMMIT was done since the last time.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Option<bool> {
        self.bytes.extend_from_slice(bytes);
        if !self.has_started {
            // To the wish for encryption the answer is one letter; no other conversation begins with these.
            self.is_encrypted = self.bytes.first() == Some(&b'S');
            let is_letter = matches!(self.bytes.first(), Some(b'N' | b'G'));
            self.bytes.drain(..usize::from(is_letter));
            self.has_started = !is_letter;
        }
        if self.is_encrypted {
            self.bytes.clear();
            return None;
        }
        let mut answer = None;
        while let Some(length) = self.bytes.get(1..).and_then(number).map(|n| n as usize + 1) {
            if self.bytes.len() < length {
                break;
            }
            match self.bytes[0] {
                b'C' => self.committed |= self.bytes[5..].starts_with(b"COMMIT"),
                b'Z' if self.bytes[5] == b'I' => answer = Some(std::mem::take(&mut self.committed)),
                _ => (),
            }
            self.bytes.drain(..length);
        }
        answer
    }
}

/// Whether one of a text's statements is a COMMIT.
fn is_commit(sql: &[u8]) -> bool {
    let sql = String::from_utf8_lossy(sql);
    sql.split(';').any(|statement| statement.trim().eq_ignore_ascii_case("COMMIT"))
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}
