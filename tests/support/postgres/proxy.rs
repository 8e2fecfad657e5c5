//! A proxy before a PostgreSQL server that cuts connections: at a COMMIT, before it or before its answer, or when told.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use parking_lot::{Condvar, Mutex};

use super::wire::{Answers, Requests};

/// What becomes of a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on, and so is its answer.
    Pass,
    /// It never reaches the server: the connection is cut instead.
    Lost,
    /// It reaches the server, which does it; the connection is cut before its answer comes back.
    Unanswered,
}

/// A proxy that listens on a port of its own for as long as this lives.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    decide: Mutex<Box<dyn FnMut() -> Fate + Send>>,
    /// Both sockets of each connection.
    connections: Mutex<Vec<[TcpStream; 2]>>,
    stalled: Mutex<bool>,
    resumed: Condvar,
    refusing: AtomicBool,
    ended: AtomicBool,
    lost: AtomicU64,
    unanswered: AtomicU64,
}

impl Proxy {
    /// A proxy before `server` that passes everything on.
    ///
    /// # Panics
    ///
    /// When there is no port free.
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared {
            server,
            decide: Mutex::new(Box::new(|| Fate::Pass)),
            connections: Mutex::default(),
            stalled: Mutex::new(false),
            resumed: Condvar::new(),
            refusing: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { port, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A URL of the server's that leads through the proxy instead.
    pub fn url(&self, url: &str) -> String {
        url.replace(&self.shared.server.to_string(), &self.address().to_string())
    }

    /// Asks from now on what becomes of each COMMIT.
    pub fn at_commit(&self, decide: impl FnMut() -> Fate + Send + 'static) {
        *self.shared.decide.lock() = Box::new(decide);
    }

    /// Cuts all connections that there are.
    pub fn cut(&self) {
        self.shared.connections.lock().drain(..).for_each(|pair| end(&pair));
    }

    /// Cuts every new connection at once, or does not any more.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refusing.store(refuse, Ordering::SeqCst);
    }

    /// Passes nothing on, in neither direction, until told otherwise; the connections stay.
    pub fn stall(&self) {
        *self.shared.stalled.lock() = true;
    }

    /// Passes on what has come meanwhile, and what comes.
    pub fn resume(&self) {
        *self.shared.stalled.lock() = false;
        self.shared.resumed.notify_all();
    }

    /// Commits that never reached the server.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::SeqCst)
    }

    /// Commits that the server has done and whose answer was not passed on.
    pub fn unanswered(&self) -> u64 {
        self.shared.unanswered.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.resume();
        self.cut();
        // Whoever waits for a connection is given one, and sees that it is the last.
        let _ = TcpStream::connect(self.address());
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        if !shared.refusing.load(Ordering::SeqCst) {
            // A server that is away: the client finds its connection cut.
            let _ = forward(client, shared);
        }
    }
}

/// Starts the two threads of a connection.
fn forward(client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let server = TcpStream::connect(shared.server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // Whether answers are withheld, until the server has answered the COMMIT.
    let silent = Arc::new(AtomicBool::new(false));
    shared.connections.lock().push([client.try_clone()?, server.try_clone()?]);
    let pair = [client, server];
    let (there, back) = ([pair[0].try_clone()?, pair[1].try_clone()?], pair);
    let requesting = (Arc::clone(shared), Arc::clone(&silent));
    thread::spawn(move || {
        let _ = pass_requests(&there, &requesting.0, &requesting.1);
        // While an answer is awaited that nobody shall see, the connection to the server has to stay.
        if !requesting.1.load(Ordering::SeqCst) {
            end(&there);
        }
    });
    let answering = Arc::clone(shared);
    thread::spawn(move || {
        let _ = pass_answers(&back, &answering, &silent);
        end(&back);
    });
    Ok(())
}

fn pass_requests(
    [client, server]: &[TcpStream; 2],
    shared: &Shared,
    silent: &AtomicBool,
) -> io::Result<()> {
    let (mut client, mut server) = (client, server);
    let mut requests = Requests::default();
    let mut chunk = [0; 16 * 1024];
    loop {
        let length = client.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        shared.wait_while_stalled();
        requests.add(&chunk[..length]);
        while let Some((message, commits)) = requests.next() {
            if commits {
                match (shared.decide.lock())() {
                    Fate::Pass => (),
                    Fate::Lost => {
                        shared.lost.fetch_add(1, Ordering::SeqCst);
                        return Ok(());
                    }
                    Fate::Unanswered => silent.store(true, Ordering::SeqCst),
                }
            }
            server.write_all(&message)?;
        }
    }
}

fn pass_answers(
    [client, server]: &[TcpStream; 2],
    shared: &Shared,
    silent: &AtomicBool,
) -> io::Result<()> {
    let (mut client, mut server) = (client, server);
    let mut answers = Answers::default();
    let mut chunk = [0; 16 * 1024];
    loop {
        let length = server.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        // Read before the answer is looked at: what is answered after this was asked before the COMMIT, or is its answer.
        let is_silent = silent.load(Ordering::SeqCst);
        let answered = answers.add(&chunk[..length]);
        if is_silent {
            if let Some(committed) = answered {
                shared.unanswered.fetch_add(u64::from(committed), Ordering::SeqCst);
                return Ok(());
            }
            continue;
        }
        shared.wait_while_stalled();
        client.write_all(&chunk[..length])?;
    }
}

impl Shared {
    fn wait_while_stalled(&self) {
        let mut stalled = self.stalled.lock();
        while *stalled {
            self.resumed.wait(&mut stalled);
        }
    }
}

/// Cuts a connection; its threads find out.
fn end(pair: &[TcpStream; 2]) {
    for socket in pair {
        // It may be cut already.
        let _ = socket.shutdown(Shutdown::Both);
    }
}
