//! The operations: what is drawn, how the buffer is asked for it, and the SQL that it stands for.

use forebay::{Producer, Receipt, Result, WriteBuffer};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde::Serialize;

/// Small key spaces, so that rows meet; every kind of refusal that a row alone can bring about.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE items(id INTEGER PRIMARY KEY, a INTEGER CHECK (a < 90), b TEXT NOT NULL DEFAULT 'none', at INTEGER);
    CREATE TABLE names(id INTEGER PRIMARY KEY, name TEXT UNIQUE);
    CREATE TABLE notes(n INTEGER PRIMARY KEY AUTOINCREMENT, what INTEGER NOT NULL);
";

/// What a producer does with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Upsert,
    UpsertCoalesced,
    Newest,
    NewestCoalesced,
    Update,
    UpdateCoalesced,
    Delete,
    DeleteCoalesced,
    Insert,
    InsertNew,
    Shift,
    Name,
    Note,
}

const ALL: [How; 13] = [
    How::Upsert,
    How::UpsertCoalesced,
    How::Newest,
    How::NewestCoalesced,
    How::Update,
    How::UpdateCoalesced,
    How::Delete,
    How::DeleteCoalesced,
    How::Insert,
    How::InsertNew,
    How::Shift,
    How::Name,
    How::Note,
];

/// A row's fields.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Fields {
    Full { id: i64, a: Option<i64>, b: Option<&'static str>, at: Option<i64> },
    Amount { id: i64, a: i64 },
    Key { id: i64 },
    Shift { by: i64, from: i64 },
    Name { id: i64, name: &'static str },
    Note { what: Option<i64> },
}

/// A row and what is to be done with it.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) how: How,
    pub(crate) fields: Fields,
}

/// One step of a sequence.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Push(Write),
    Submit(Write),
    Group(Vec<Write>),
    Execute(String),
    Flush,
    /// Waits for the oldest receipt that is held.
    Await,
}

impl How {
    pub(crate) fn coalesces(self) -> bool {
        use How::{DeleteCoalesced, NewestCoalesced, UpdateCoalesced, UpsertCoalesced};
        matches!(self, UpsertCoalesced | NewestCoalesced | UpdateCoalesced | DeleteCoalesced)
    }

    fn producer(self, buffer: &WriteBuffer) -> Result<Producer> {
        let items = || buffer.table("items");
        match self {
            Self::Upsert => items().upsert(["id"]).producer(),
            Self::UpsertCoalesced => items().upsert(["id"]).coalesce().producer(),
            Self::Newest => items().upsert(["id"]).newest_by("at").producer(),
            Self::NewestCoalesced => items().upsert(["id"]).newest_by("at").coalesce().producer(),
            Self::Update => items().update(["id"]).producer(),
            Self::UpdateCoalesced => items().update(["id"]).coalesce().producer(),
            Self::Delete => items().delete(["id"]).producer(),
            Self::DeleteCoalesced => items().delete(["id"]).coalesce().producer(),
            Self::Insert => items().insert().producer(),
            Self::InsertNew => items().insert().ignore_duplicates().producer(),
            Self::Shift => buffer.statement("UPDATE items SET a = a + :by WHERE id >= :from"),
            Self::Name => buffer.table("names").upsert(["id"]).producer(),
            Self::Note => buffer.table("notes").insert().producer(),
        }
    }
}

impl Write {
    /// The statement that this row stands for, by hand.
    pub(crate) fn sql(&self) -> String {
        match (self.how, &self.fields) {
            (How::Upsert | How::UpsertCoalesced, Fields::Full { .. }) => {
                let (columns, values) = self.columns_and_values();
                format!(
                    "INSERT INTO items({columns}) VALUES ({values}) \
                     ON CONFLICT(id) DO UPDATE SET a = excluded.a, b = excluded.b, at = excluded.at"
                )
            }
            (How::Upsert | How::UpsertCoalesced, Fields::Amount { id, a }) => format!(
                "INSERT INTO items(id, a) VALUES ({id}, {a}) ON CONFLICT(id) DO UPDATE SET a = excluded.a"
            ),
            (How::Newest | How::NewestCoalesced, Fields::Full { .. }) => {
                let (columns, values) = self.columns_and_values();
                format!(
                    "INSERT INTO items({columns}) VALUES ({values}) \
                     ON CONFLICT(id) DO UPDATE SET a = excluded.a, b = excluded.b, at = excluded.at \
                     WHERE items.at IS NULL OR excluded.at >= items.at"
                )
            }
            (How::Update | How::UpdateCoalesced, &Fields::Full { id, a, b, at }) => format!(
                "UPDATE items SET a = {}, b = {}, at = {} WHERE id = {id}",
                integer(a),
                quoted(b),
                integer(at)
            ),
            (How::Update | How::UpdateCoalesced, Fields::Amount { id, a }) => {
                format!("UPDATE items SET a = {a} WHERE id = {id}")
            }
            (How::Delete | How::DeleteCoalesced, Fields::Key { id }) => {
                format!("DELETE FROM items WHERE id = {id}")
            }
            (How::Insert, Fields::Full { .. }) => {
                let (columns, values) = self.columns_and_values();
                format!("INSERT INTO items({columns}) VALUES ({values})")
            }
            (How::Insert, Fields::Amount { id, a }) => {
                format!("INSERT INTO items(id, a) VALUES ({id}, {a})")
            }
            (How::InsertNew, Fields::Full { .. }) => {
                let (columns, values) = self.columns_and_values();
                format!("INSERT INTO items({columns}) VALUES ({values}) ON CONFLICT DO NOTHING")
            }
            (How::Shift, Fields::Shift { by, from }) => {
                format!("UPDATE items SET a = a + {by} WHERE id >= {from}")
            }
            (How::Name, Fields::Name { id, name }) => format!(
                "INSERT INTO names(id, name) VALUES ({id}, '{name}') \
                 ON CONFLICT(id) DO UPDATE SET name = excluded.name"
            ),
            (How::Note, &Fields::Note { what }) => {
                format!("INSERT INTO notes(what) VALUES ({})", integer(what))
            }
            (how, fields) => unreachable!("{how:?} is never given {fields:?}"),
        }
    }

    fn columns_and_values(&self) -> (&'static str, String) {
        let Fields::Full { id, a, b, at } = self.fields else { unreachable!("{self:?}") };
        ("id, a, b, at", format!("{id}, {}, {}, {}", integer(a), quoted(b), integer(at)))
    }
}

fn integer(value: Option<i64>) -> String {
    value.map_or("NULL".to_owned(), |integer| integer.to_string())
}

fn quoted(value: Option<&str>) -> String {
    value.map_or("NULL".to_owned(), |text| format!("'{text}'"))
}

/// The producers of a buffer, one for each thing to do.
pub(crate) struct Producers(Vec<Producer>);

impl Producers {
    pub(crate) fn of(buffer: &WriteBuffer) -> Self {
        let made = ALL.map(|how| how.producer(buffer));
        Self(made.map(|made| made.expect("the schema has what it takes")).into())
    }

    fn producer(&self, how: How) -> &Producer {
        &self.0[how as usize]
    }

    pub(crate) fn push(&self, write: &Write) -> Result<()> {
        self.producer(write.how).push(&write.fields)
    }

    pub(crate) fn submit(&self, write: &Write) -> Result<Receipt> {
        self.producer(write.how).submit(&write.fields)
    }

    pub(crate) fn group(&self, buffer: &WriteBuffer, writes: &[Write]) -> Result<Receipt> {
        buffer.group(|group| {
            writes.iter().try_for_each(|write| group.add(self.producer(write.how), &write.fields))
        })
    }
}

/// A sequence over a few producers of those in `hows`, in which rows of one often follow each other.
pub(crate) fn steps(hows: Vec<How>) -> impl Strategy<Value = Vec<Step>> {
    let steps = subsequence(hows, 2..=4).prop_flat_map(|few| {
        let how = move || select(few.clone());
        let runs = how().prop_flat_map(|how| prop::collection::vec(push_or_submit(how), 1..5));
        let group = prop::collection::vec(how().prop_flat_map(write), 0..4).prop_map(Step::Group);
        let step = prop_oneof![
            8 => runs,
            1 => group.prop_map(|step| vec![step]),
            1 => other().prop_map(|step| vec![step]),
        ];
        prop::collection::vec(step, 1..25)
    });
    steps.prop_map(|runs| runs.concat())
}

fn push_or_submit(how: How) -> impl Strategy<Value = Step> {
    prop_oneof![3 => write(how).prop_map(Step::Push), 2 => write(how).prop_map(Step::Submit)]
}

fn other() -> impl Strategy<Value = Step> {
    prop_oneof![1 => execute().prop_map(Step::Execute), 2 => Just(Step::Flush), 3 => Just(Step::Await)]
}

pub(crate) fn all() -> Vec<How> {
    ALL.to_vec()
}

pub(crate) fn without_coalesce() -> Vec<How> {
    ALL.into_iter().filter(|how| !how.coalesces()).collect()
}

fn write(how: How) -> BoxedStrategy<Write> {
    let id = 0..4_i64;
    let full = || {
        (0..4_i64, prop::option::weighted(0.9, amount()), text(), prop::option::of(0..4_i64))
            .prop_map(|(id, a, b, at)| Fields::Full { id, a, b, at })
    };
    let amount = (0..4_i64, amount()).prop_map(|(id, a)| Fields::Amount { id, a });
    let fields = match how {
        How::Upsert | How::UpsertCoalesced | How::Update | How::UpdateCoalesced | How::Insert => {
            prop_oneof![full(), amount].boxed()
        }
        How::Newest | How::NewestCoalesced | How::InsertNew => full().boxed(),
        How::Delete | How::DeleteCoalesced => id.prop_map(|id| Fields::Key { id }).boxed(),
        How::Shift => (-10..20_i64, id).prop_map(|(by, from)| Fields::Shift { by, from }).boxed(),
        How::Name => (id, select(vec!["x", "y", "z"]))
            .prop_map(|(id, name)| Fields::Name { id, name })
            .boxed(),
        How::Note => {
            prop::option::weighted(0.9, 0..1_000_i64).prop_map(|what| Fields::Note { what }).boxed()
        }
    };
    fields.prop_map(move |fields| Write { how, fields }).boxed()
}

/// From 90 on the CHECK refuses it.
fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..90_i64, 1 => 90..99_i64]
}

/// NOT NULL refuses `None`.
fn text() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::weighted(0.9, select(vec!["u", "v", "w"]))
}

fn execute() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..4_i64).prop_map(|id| format!("DELETE FROM items WHERE id < {id}")),
        1 => Just("UPDATE items SET a = 100".to_owned()),
        1 => Just("DELETE FROM missing".to_owned()),
    ]
}
