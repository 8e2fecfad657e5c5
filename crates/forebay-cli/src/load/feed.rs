//! The input's bytes, read ahead by a thread of its own: whoever waits for them can stop waiting.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Chunks that may wait.
const AHEAD: usize = 8;

/// Bytes that are read ahead.
pub struct Feed {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    /// Bytes of `chunk` that are read.
    read: usize,
}

impl Feed {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn of(mut source: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(AHEAD);
        thread::Builder::new().name("input".to_owned()).spawn(move || {
            loop {
                let mut chunk = vec![0; CHUNK];
                let chunk = match source.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(bytes) => {
                        chunk.truncate(bytes);
                        Ok(chunk)
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let is_last = chunk.is_err();
                if sender.send(chunk).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Self { chunks, chunk: Vec::new(), read: 0 })
    }

    /// The next bytes, none at the end, or `None` when none have come within `patience`.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn next_within(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        match self.chunks.recv_timeout(patience) {
            Ok(chunk) => chunk.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Ok(Some(Vec::new())),
        }
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.chunk.len() {
            self.chunk = match self.chunks.recv() {
                Ok(chunk) => chunk?,
                Err(_) => return Ok(0),
            };
            self.read = 0;
        }
        let bytes = (&self.chunk[self.read..]).read(buffer)?;
        self.read += bytes;
        Ok(bytes)
    }
}
