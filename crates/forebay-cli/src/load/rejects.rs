//! Lines that did not become rows, and rows that were not copied: the first are shown, all go to the rejects file if there is one.

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

/// Rejected lines, or rows of another database.
pub(crate) struct Rejects {
    screen: Screen,
    /// What they are: lines or rows.
    what: &'static str,
    input: String,
    /// The input's first line, where it names the fields.
    header: Vec<u8>,
    file: Option<RejectsFile>,
    count: u64,
}

struct RejectsFile {
    what: &'static str,
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
    pub(crate) fn new(
        screen: Screen,
        what: &'static str,
        input: &str,
        file: Option<&Path>,
    ) -> Result<Self> {
        let file = file.map(|path| open(what, path)).transpose()?;
        Ok(Self { screen, what, input: input.to_owned(), header: Vec::new(), file, count: 0 })
    }

    /// Says what the input's header line is, for a rejects file that can be loaded in its place.
    pub(super) fn set_header(&mut self, raw: &[u8]) {
        self.header = raw.to_owned();
    }

    /// Whether the bytes of rejected lines are wanted.
    pub(crate) fn keeps_lines(&self) -> bool {
        self.file.is_some()
    }

    /// The file and the lines in it, if there are any.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_ref().filter(|_| self.count > 0).map(|file| file.path.as_path())
    }

    /// Takes one, which is found at `place` in the input. Its bytes may be empty where they are too many.
    pub(crate) fn add(&mut self, place: &dyn Display, raw: &[u8], why: &dyn Display) {
        self.count += 1;
        if self.count <= SHOWN {
            self.screen.line(format_args!("{} {place}: {why}", self.input));
        }
        let first = self.count == 1;
        if let Some(rejects) = &mut self.file
            && rejects.failed.is_none()
        {
            let header = first.then_some((self.input.as_str(), self.header.as_slice()));
            rejects.failed =
                rejects.write(header, place, raw, why).err().map(|error| because(&error));
        }
    }

    /// Has everything written so far in the file.
    ///
    /// # Errors
    ///
    /// When the file cannot be written: to go on would lose lines.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let Some(rejects) = &mut self.file else { return Ok(()) };
        if rejects.failed.is_none() {
            rejects.failed = rejects.file.flush().err().map(|error| because(&error));
        }
        match &rejects.failed {
            None => Ok(()),
            Some(error) => {
                let path = rejects.path.display();
                Err(Failure::new(format!(
                    "cannot write rejected {}s to {path}: {error}",
                    self.what
                ))
                .hint("make room, or name a file elsewhere with --rejects, and begin again"))
            }
        }
    }

    /// Says how many lines were not shown.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub(crate) fn finish(&mut self) -> Result<()> {
        let hidden = self.count.saturating_sub(SHOWN);
        if hidden > 0 {
            let where_to = match &self.file {
                Some(file) => format!("all are in {}", file.path.display()),
                None => "name a file with --rejects to keep them".to_owned(),
            };
            let hidden = count(hidden, &format!("more rejected {}", self.what));
            self.screen.line(format_args!("{hidden} not shown: {where_to}"));
        }
        self.flush()
    }
}

fn open(what: &'static str, path: &Path) -> Result<RejectsFile> {
    let name = path.display();
    let failed = |error: io::Error| {
        Failure::new(format!("cannot write rejected {what}s to {name}: {}", because(&error)))
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
        .hint(format!(
            "its {what}s may be nowhere else: load or remove it first, or name another file"
        )));
    }
    let file = BufWriter::new(file);
    Ok(RejectsFile { what, path: path.to_owned(), file, is_ours, is_empty: true, failed: None })
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
        place: &dyn Display,
        raw: &[u8],
        why: &dyn Display,
    ) -> io::Result<()> {
        self.is_empty = false;
        let file = &mut self.file;
        if let Some((input, header)) = header {
            file.write_all(COMMENT)?;
            writeln!(
                file,
                " {}s of {input} that were rejected, each below the reason: mend them and load this file",
                self.what
            )?;
            if !header.is_empty() {
                file.write_all(header)?;
                file.write_all(b"\n")?;
            }
        }
        file.write_all(COMMENT)?;
        let why = why.to_string().replace(['\n', '\r'], " ");
        if raw.is_empty() {
            writeln!(file, " {place}: {why} (too long to be copied here)")
        } else {
            writeln!(file, " {place}: {why}")?;
            file.write_all(raw)?;
            file.write_all(b"\n")
        }
    }
}
