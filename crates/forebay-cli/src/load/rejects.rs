//! Lines that did not become rows: the first are shown, all go to the rejects file if there is one.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result, because};
use crate::load::records::COMMENT;
use crate::screen::Screen;
use crate::words::count;

/// Rejected lines that are shown; a file takes them all.
const SHOWN: u64 = 10;

/// Rejected lines.
pub(super) struct Rejects {
    screen: Screen,
    input: String,
    /// The input's first line, where it names the fields.
    header: Vec<u8>,
    file: Option<RejectsFile>,
    count: u64,
}

struct RejectsFile {
    path: PathBuf,
    file: BufWriter<File>,
    /// It was not there before.
    is_ours: bool,
    is_empty: bool,
    /// Why it could not be written. Nothing more is written then.
    failed: Option<String>,
}

impl Rejects {
    /// Begins with none. The file must not hold anything yet: what it holds may be nowhere else.
    ///
    /// # Errors
    ///
    /// When the file is not empty or cannot be made.
    pub(super) fn new(screen: Screen, input: &str, file: Option<&Path>) -> Result<Self> {
        let file = file.map(open).transpose()?;
        Ok(Self { screen, input: input.to_owned(), header: Vec::new(), file, count: 0 })
    }

    /// Says what the input's header line is, for a rejects file that can be loaded in its place.
    pub(super) fn set_header(&mut self, raw: &[u8]) {
        self.header = raw.to_owned();
    }

    /// Whether the bytes of rejected lines are wanted.
    pub(super) fn keeps_lines(&self) -> bool {
        self.file.is_some()
    }

    /// The file and the lines in it, if there are any.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_ref().filter(|_| self.count > 0).map(|file| file.path.as_path())
    }

    /// Takes a line. Its bytes may be empty where they are too many.
    pub(super) fn add(&mut self, line: u64, raw: &[u8], why: &dyn Display) {
        self.count += 1;
        if self.count <= SHOWN {
            self.screen.line(format_args!("{} line {line}: {why}", self.input));
        }
        let first = self.count == 1;
        if let Some(rejects) = &mut self.file
            && rejects.failed.is_none()
        {
            let header = first.then_some((self.input.as_str(), self.header.as_slice()));
            rejects.failed =
                rejects.write(header, line, raw, why).err().map(|error| because(&error));
        }
    }

    /// Has everything written so far in the file.
    ///
    /// # Errors
    ///
    /// When the file cannot be written: to go on would lose lines.
    pub(super) fn flush(&mut self) -> Result<()> {
        let Some(rejects) = &mut self.file else { return Ok(()) };
        if rejects.failed.is_none() {
            rejects.failed = rejects.file.flush().err().map(|error| because(&error));
        }
        match &rejects.failed {
            None => Ok(()),
            Some(error) => {
                let path = rejects.path.display();
                Err(Failure::new(format!("cannot write rejected lines to {path}: {error}"))
                    .hint("make room, or name a file elsewhere with --rejects, and load again"))
            }
        }
    }

    /// Says how many lines were not shown.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub(super) fn finish(&mut self) -> Result<()> {
        let hidden = self.count.saturating_sub(SHOWN);
        if hidden > 0 {
            let where_to = match &self.file {
                Some(file) => format!("all are in {}", file.path.display()),
                None => "name a file with --rejects to keep them".to_owned(),
            };
            let hidden = count(hidden, "more rejected line");
            self.screen.line(format_args!("{hidden} not shown: {where_to}"));
        }
        self.flush()
    }
}

fn open(path: &Path) -> Result<RejectsFile> {
    let name = path.display();
    let failed = |error: io::Error| {
        Failure::new(format!("cannot write rejected lines to {name}: {}", because(&error)))
    };
    let mut options = OpenOptions::new();
    options.append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let (file, is_ours) = match options.clone().create_new(true).open(path) {
        Ok(file) => (file, true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            (options.open(path).map_err(failed)?, false)
        }
        Err(error) => return Err(failed(error)),
    };
    if file.metadata().map_err(failed)?.len() > 0 {
        return Err(Failure::new(format!(
            "the rejects file {name} is there already and not empty"
        ))
        .hint("its lines may be nowhere else: load or remove it first, or name another file"));
    }
    let file = BufWriter::new(file);
    Ok(RejectsFile { path: path.to_owned(), file, is_ours, is_empty: true, failed: None })
}

impl Drop for RejectsFile {
    fn drop(&mut self) {
        if self.is_ours && self.is_empty {
            // An empty file is no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl RejectsFile {
    fn write(
        &mut self,
        header: Option<(&str, &[u8])>,
        line: u64,
        raw: &[u8],
        why: &dyn Display,
    ) -> io::Result<()> {
        self.is_empty = false;
        let file = &mut self.file;
        if let Some((input, header)) = header {
            file.write_all(COMMENT)?;
            writeln!(
                file,
                " lines of {input} that were rejected, each below the reason: mend them and load this file"
            )?;
            if !header.is_empty() {
                file.write_all(header)?;
                file.write_all(b"\n")?;
            }
        }
        file.write_all(COMMENT)?;
        let why = why.to_string().replace(['\n', '\r'], " ");
        if raw.is_empty() {
            writeln!(file, " line {line}: {why} (too long to be copied here)")
        } else {
            writeln!(file, " line {line}: {why}")?;
            file.write_all(raw)?;
            file.write_all(b"\n")
        }
    }
}
