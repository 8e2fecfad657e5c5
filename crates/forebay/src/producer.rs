//! Producers: a row in, its bytes into the log.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::admission::{Admission, Refused};
use crate::encode::{Encoder, Fields, Names, Refusal};
use crate::error::{Error, ErrorKind, Result};
use crate::handle::Handle;
use crate::queue::Shared;
use crate::receipt::Receipt;
use crate::row::{Frame, HEADER, MORE, RECEIPT, Values};
use crate::shape::{Shape, Stream};
use crate::sync;
use crate::wait;

/// A thread keeps this much scratch memory between pushes.
const MAX_KEPT: usize = 64 * 1024;

/// Takes rows for one table operation or one statement.
///
/// Made once by [`Table`](crate::Table) or [`WriteBuffer::statement`](crate::WriteBuffer::statement) and
/// kept; clones are cheap and go to other threads. A row is anything that implements `Serialize` as a
/// struct, a map with text keys, or a tuple (whose values go to the table's columns, or the statement's
/// parameters, in their order). The row is copied: it may borrow what lives for the call only.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let buffer = forebay::WriteBuffer::open(dir.path().join("app.db"))?;
/// # buffer.execute("CREATE TABLE topic_status(topic_id INTEGER PRIMARY KEY, status TEXT)")?;
/// struct Worker {
///     topics: forebay::Producer,
/// }
///
/// let worker = Worker { topics: buffer.table("topic_status").upsert(["topic_id"]).producer()? };
/// for topic_id in 0..3 {
///     let status = format!("running on {topic_id}");
///     #[derive(serde::Serialize)]
///     struct TopicStatus<'a> {
///         topic_id: i64,
///         status: &'a str,
///     }
///     worker.topics.push(&TopicStatus { topic_id, status: &status })?;
/// }
/// buffer.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What becomes of a value
///
/// | Rust, by serde | in the database |
/// |---|---|
/// | `bool`, integers | INTEGER; one that does not fit 64 bits with a sign is refused |
/// | floats | REAL; NaN is refused |
/// | strings, `char`, unit enum variants (by their serde name) | TEXT |
/// | bytes (`serde_bytes`; a `Vec<u8>` alone is a sequence to serde) | BLOB |
/// | `None`, `()` | NULL |
/// | structs, maps, sequences, other enum variants | TEXT, as JSON (where a NaN becomes `null`) |
///
/// A field that a row does not have is a column that is not mentioned, never NULL: an upsert leaves it as
/// it is. Rows of one producer may come with up to 16 different lists of fields, unless
/// [`max_shapes`](crate::TableWrite::max_shapes) says otherwise.
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
    stream: Arc<Stream>,
}

/// Whether a call may block to look at a table again when a row does not fit what is known of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patient {
    Yes,
    No,
}

impl Producer {
    pub(crate) fn new(handle: Arc<Handle>, stream: Arc<Stream>) -> Self {
        Self { handle, stream }
    }

    /// Puts a row into the buffer; it is in memory, or in the [spool](crate::Config::spool), when this returns. Blocks while
    /// the buffer is full.
    ///
    /// # Errors
    ///
    /// The row was not accepted. [`Encode`](ErrorKind::Encode), [`UnknownField`](ErrorKind::UnknownField),
    /// [`Schema`](ErrorKind::Schema), [`TooManyShapes`](ErrorKind::TooManyShapes) or [`TooLarge`](ErrorKind::TooLarge) for
    /// the row itself; [`Spool`](ErrorKind::Spool) when there is no room to note a new list of fields, and
    /// [`Open`](ErrorKind::Open) or [`Unavailable`](ErrorKind::Unavailable) when the table cannot be looked at for one;
    /// [`Closed`](ErrorKind::Closed), [`Failed`](ErrorKind::Failed) or [`Forked`](ErrorKind::Forked) for the buffer;
    /// [`WouldDeadlock`](ErrorKind::WouldDeadlock) when it is full and this is the thread that writes.
    pub fn push<R: Serialize + ?Sized>(&self, row: &R) -> Result<()> {
        self.enqueue(row, Patient::Yes, 0, |frame| match self.shared().admit(frame, 1, false) {
            Ok(_) => Ok(()),
            Err(refused) => wait_for_room(self.shared(), refused, frame, 1, false, None).map(drop),
        })
    }

    /// Puts a row into the buffer if there is room. Never blocks.
    ///
    /// # Errors
    ///
    /// [`Full`](ErrorKind::Full) when there is no room; otherwise as [`push`](Self::push).
    pub fn try_push<R: Serialize + ?Sized>(&self, row: &R) -> Result<()> {
        self.enqueue(row, Patient::No, 0, |frame| match self.shared().admit(frame, 1, false) {
            Ok(_) => Ok(()),
            Err(Refused::Because(error)) => Err(error),
            Err(Refused::Full) => {
                let name = self.shared().name();
                let message = format!("the buffer for {name} is full: the row was not accepted");
                Err(self.shared().no_room(ErrorKind::Full, message))
            }
        })
    }

    /// Puts a row into the buffer; blocks for `timeout` at the most while the buffer is full.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](ErrorKind::TimedOut) when there was no room; otherwise as [`push`](Self::push).
    pub fn push_timeout<R: Serialize + ?Sized>(&self, row: &R, timeout: Duration) -> Result<()> {
        self.enqueue(row, Patient::Yes, 0, |frame| self.admit(frame, false, Some(timeout)))
            .map(drop)
    }

    /// Puts a row into the buffer; waits for room without blocking the thread. The row is encoded at once,
    /// so the future borrows nothing; dropping it before it is ready takes the row back.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn push_async<R: Serialize + ?Sized>(
        &self,
        row: &R,
    ) -> impl Future<Output = Result<()>> + Send + 'static + use<R> {
        let admitted = self.admission(row, false);
        async move { admitted.await.map(drop) }
    }

    /// As [`push`](Self::push), with a receipt for the row. Blocks while the buffer is full.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn submit<R: Serialize + ?Sized>(&self, row: &R) -> Result<Receipt> {
        let receipt =
            self.enqueue(row, Patient::Yes, RECEIPT, |frame| self.admit(frame, true, None))?;
        Ok(receipt.expect("a receipt was asked for"))
    }

    /// As [`submit`](Self::submit), but waits for room without blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn submit_async<R: Serialize + ?Sized>(
        &self,
        row: &R,
    ) -> impl Future<Output = Result<Receipt>> + Send + 'static + use<R> {
        let admitted = self.admission(row, true);
        async move { Ok(admitted.await?.expect("a receipt was asked for")) }
    }

    /// Writes a row: [`submit`](Self::submit), then [`wait`](Receipt::wait). Blocks until the row is committed.
    ///
    /// # Errors
    ///
    /// As both.
    pub fn write<R: Serialize + ?Sized>(&self, row: &R) -> Result<()> {
        self.submit(row)?.wait()
    }

    fn shared(&self) -> &Arc<Shared> {
        self.handle.shared()
    }

    fn enqueue<R: Serialize + ?Sized, T>(
        &self,
        row: &R,
        patient: Patient,
        flags: u16,
        append: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let mut scratch = Scratch::take();
        let appended =
            self.encode(row, &mut scratch, patient, flags).and_then(|()| append(&scratch.bytes));
        scratch.put_back();
        appended
    }

    fn admit(
        &self,
        frame: &[u8],
        receipt: bool,
        timeout: Option<Duration>,
    ) -> Result<Option<Receipt>> {
        admit(self.shared(), frame, 1, receipt, timeout)
    }

    fn admission<R: Serialize + ?Sized>(
        &self,
        row: &R,
        receipt: bool,
    ) -> impl Future<Output = Result<Option<Receipt>>> + Send + 'static + use<R> {
        let shared = Arc::clone(self.shared());
        let flags = if receipt { RECEIPT } else { 0 };
        let frame = self.enqueue(row, Patient::No, flags, |frame| Ok(frame.to_vec()));
        async move { Admission::new(shared, frame?, 1, receipt).await }
    }

    /// Encodes a row behind what the scratch holds already; leaves nothing there when it fails.
    fn encode<R: Serialize + ?Sized>(
        &self,
        row: &R,
        scratch: &mut Scratch,
        patient: Patient,
        flags: u16,
    ) -> Result<()> {
        let start = Frame::begin(&mut scratch.bytes);
        let encoded = self.encode_values(row, scratch, start, patient);
        match encoded {
            Ok(shape) => Frame::finish(&mut scratch.bytes, start, shape, flags),
            Err(_) => scratch.bytes.truncate(start),
        }
        encoded.map(drop)
    }

    fn encode_values<R: Serialize + ?Sized>(
        &self,
        row: &R,
        scratch: &mut Scratch,
        start: usize,
        patient: Patient,
    ) -> Result<u16> {
        let guess = self.stream.guess();
        let expected = guess.map(|shape| shape.expected());
        let Scratch { bytes, names, key, .. } = scratch;
        let fields = Encoder::new(bytes, names, key, expected)
            .encode(row)
            .map_err(|refusal| self.refused(refusal))?;
        let shape = match (fields, guess) {
            (Fields::Expected, Some(guess)) => guess,
            _ => self.shape(fields, &scratch.names, patient)?,
        };
        if fields == Fields::Named {
            scratch.reorder(start, shape);
        }
        let length = scratch.bytes.len() - start;
        let limit = self.shared().config.max_row_bytes;
        if length > limit {
            return Err(too_large("a row", self.stream.target().table(), length, limit));
        }
        let values = Values::of_frame(&scratch.bytes[start..]);
        if !self.shared().takes_nul {
            shape.check_texts(values.clone())?;
        }
        shape.check_newest(values)?;
        Ok(shape.id())
    }

    /// The shape with these fields: known, or new and fitting the table, which may have changed since it
    /// was last looked at.
    #[cold]
    fn shape(&self, fields: Fields, names: &Names, patient: Patient) -> Result<&Arc<Shape>> {
        if let Some(shape) = self.stream.find(fields, names) {
            return Ok(shape);
        }
        // A spool's note of it would be the parent's.
        self.shared().check_process()?;
        let shapes = &self.shared().shapes;
        let unfit = match self.stream.register(fields, names, shapes) {
            Err(error) if self.looks_at_a_table() && may_be_of_the_table(&error) => error,
            registered => return registered,
        };
        let table = self.stream.target().table().to_owned();
        if patient == Patient::No || self.shared().may_wait("look at a table").is_err() {
            // The next row will be held against what the table looks like then.
            if self.stream.begin_to_look() {
                let stream = Arc::clone(&self.stream);
                self.shared().send(Box::new(move |sink| {
                    stream.end_to_look();
                    if let Ok(info) = sink.and_then(|sink| sink.describe(&table)) {
                        stream.update(info);
                    }
                }));
            }
            return Err(unfit);
        }
        let info = self.shared().with_sink(move |sink| sink.describe(&table))?;
        self.stream.update(info);
        self.stream.register(fields, names, shapes)
    }

    fn looks_at_a_table(&self) -> bool {
        self.stream.target().operation().writes_a_table()
    }

    fn refused(&self, refusal: Refusal) -> Error {
        let table = self.stream.target().table();
        let (field, reason) = refusal.into_parts();
        let error = match &field {
            Some(field) => Error::new(
                ErrorKind::Encode,
                format!("field `{field}` of a row for {table}: {reason}"),
            ),
            None => Error::new(ErrorKind::Encode, format!("a row for {table}: {reason}")),
        };
        match field {
            Some(field) => error.with_table(table).with_field(field),
            None => error.with_table(table),
        }
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("target", self.stream.target()).finish_non_exhaustive()
    }
}

/// Appends encoded rows to the log; blocks while it is full.
fn admit(
    shared: &Arc<Shared>,
    frames: &[u8],
    rows: usize,
    receipt: bool,
    timeout: Option<Duration>,
) -> Result<Option<Receipt>> {
    match shared.admit(frames, rows, receipt) {
        Ok(admitted) => Ok(admitted.receipt(shared)),
        Err(refused) => wait_for_room(shared, refused, frames, rows, receipt, timeout),
    }
}

/// Goes on where rows were not admitted at once.
#[cold]
fn wait_for_room(
    shared: &Arc<Shared>,
    refused: Refused,
    frames: &[u8],
    rows: usize,
    receipt: bool,
    timeout: Option<Duration>,
) -> Result<Option<Receipt>> {
    if let Refused::Because(error) = refused {
        return Err(error);
    }
    let admission = Admission::new(Arc::clone(shared), frames, rows, receipt);
    wait::block_on(admission, timeout.and_then(sync::after)).unwrap_or_else(|| {
        let message = format!(
            "the buffer for {} was full for {timeout:?}: the row was not accepted",
            shared.name(),
            timeout = timeout.unwrap_or_default()
        );
        Err(shared.no_room(ErrorKind::TimedOut, message))
    })
}

/// Whether a shape may have been refused because the table is not what it was.
fn may_be_of_the_table(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::TooManyShapes | ErrorKind::Spool)
}

fn too_large(what: &str, table: &str, length: usize, limit: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!(
            "{what} for {table} is {length} bytes long, more than max_row_bytes, which is {limit}: raise that, or keep large values elsewhere"
        ),
    )
    .with_table(table)
}

/// Rows that commit together or are refused together; filled by
/// [`WriteBuffer::group`](crate::WriteBuffer::group).
pub struct Group<'b> {
    handle: &'b Arc<Handle>,
    scratch: Scratch,
    rows: usize,
    /// Where the last row begins and where it ends.
    last: usize,
    end: usize,
}

impl<'b> Group<'b> {
    pub(crate) fn new(handle: &'b Arc<Handle>) -> Self {
        Self { handle, scratch: Scratch::default(), rows: 0, last: 0, end: 0 }
    }

    /// Adds a row of a producer of the same buffer.
    ///
    /// # Errors
    ///
    /// For a row that cannot be encoded or does not fit its table; it is not in the group then.
    /// [`TooLarge`](ErrorKind::TooLarge) when the group as a whole exceeds `max_row_bytes`.
    pub fn add<R: Serialize + ?Sized>(&mut self, producer: &Producer, row: &R) -> Result<()> {
        if !Arc::ptr_eq(producer.shared(), self.handle.shared()) {
            return Err(Error::new(
                ErrorKind::Schema,
                format!(
                    "a group of the buffer for {} cannot take a row of a producer of another buffer, for {}: open a database \
                     once and clone the WriteBuffer",
                    self.handle.shared().name(),
                    producer.shared().name()
                ),
            ));
        }
        // Behind the last whole row: one whose encoding panicked may have left something.
        let start = self.end;
        self.scratch.bytes.truncate(start);
        producer.encode(row, &mut self.scratch, Patient::Yes, RECEIPT)?;
        let limit = self.handle.shared().config.max_row_bytes;
        if self.scratch.bytes.len() > limit {
            let length = self.scratch.bytes.len();
            self.scratch.bytes.truncate(start);
            return Err(too_large(
                "a group with a row",
                producer.stream.target().table(),
                length,
                limit,
            ));
        }
        if self.rows > 0 {
            Frame::mark(&mut self.scratch.bytes, self.last, MORE);
        }
        self.last = start;
        self.end = self.scratch.bytes.len();
        self.rows += 1;
        Ok(())
    }

    pub(crate) fn submit(self) -> Result<Option<Receipt>> {
        if self.rows == 0 {
            return Ok(None);
        }
        admit(self.handle.shared(), &self.scratch.bytes[..self.end], self.rows, true, None)
    }
}

/// Where a row is encoded before it goes into the log: one for each thread, taken for the call, so
/// that a `Serialize` impl may itself push.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    other: Vec<u8>,
    names: Names,
    key: String,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    fn take() -> Box<Self> {
        SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_default()
    }

    fn put_back(mut self: Box<Self>) {
        self.bytes.clear();
        if self.bytes.capacity() > MAX_KEPT {
            self.bytes = Vec::new();
        }
        if self.other.capacity() > MAX_KEPT {
            self.other = Vec::new();
        }
        // While a thread ends its scratch is gone; then this one goes too.
        let _ = SCRATCH.try_with(|kept| kept.set(Some(self)));
    }

    /// Puts the values of the row that begins at `start` into the shape's order: a map gives its fields
    /// in any.
    fn reorder(&mut self, start: usize, shape: &Shape) {
        if shape.names().iter().map(String::as_str).eq(self.names.iter()) {
            return;
        }
        let values = Values::of_frame(&self.bytes[start..]);
        self.other.clear();
        for field in shape.names() {
            let position = self.names.iter().position(|name| name == field);
            let position = position.expect("the shape was found by these names");
            self.other.extend_from_slice(values.clone().slice(position));
        }
        self.bytes.truncate(start + HEADER);
        self.bytes.extend_from_slice(&self.other);
    }
}
