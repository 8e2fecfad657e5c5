//! What loom has otherwise, which tries every interleaving: a clock that does not move, and parking.
//!
//! A timed wait never times out: a model that needs a timer has a thread for it.

use std::sync::{Arc, Mutex as StdMutex, OnceLock, PoisonError};
use std::time::Instant;

pub(crate) fn now() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(super) fn may_pass(_deadline: Instant) -> bool {
    false
}

pub(super) fn pass(_deadline: Instant) {}

/// A thread that parks. loom's own `unpark` also wakes a thread that waits for a mutex, and its token
/// is lost on one; so the token is kept here, and loom hears of it when the thread is parked.
pub(crate) struct Thread(Arc<Parking>);

struct Parking {
    thread: loom::thread::Thread,
    state: StdMutex<Token>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    None,
    Given,
    Parked,
}

loom::thread_local! {
    static PARKING: Arc<Parking> = Arc::new(Parking {
        thread: loom::thread::current(),
        state: StdMutex::new(Token::None),
    });
}

impl Parking {
    fn replace(&self, token: Token) -> Token {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *state, token)
    }
}

impl Thread {
    pub(crate) fn unpark(&self) {
        if self.0.replace(Token::Given) == Token::Parked {
            self.0.thread.unpark();
        }
    }
}

pub(crate) fn current() -> Thread {
    Thread(PARKING.with(Arc::clone))
}

pub(crate) fn park() {
    let parking = PARKING.with(Arc::clone);
    if parking.replace(Token::Parked) != Token::Given {
        loom::thread::park();
    }
    parking.replace(Token::None);
}
