//! A client that connects again and again, over TCP on loopback.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tej_std::service::{End, Failed, Frame, Handler, Options, Peer};
use tej_std::{Backoff, Client, Config, Connection, Event, Status};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Writes down every call, and answers each message with its length.
#[derive(Clone, Default)]
struct Diary {
    lines: Arc<Mutex<Vec<String>>>,
    /// Told when a frame has begun.
    begun: Arc<Notify>,
}

impl Diary {
    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

impl Handler for Diary {
    async fn connected(&mut self, peer: &Peer) -> Result<(), Failed> {
        assert!(peer.address().is_some_and(|address| address.ip().is_loopback()));
        self.note("connected".to_owned());
        Ok(())
    }

    async fn received(&mut self, peer: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
        self.begun.notify_one();
        let message = String::from_utf8(frame.message().await?)?;
        assert_ne!(message, "panic", "as it was told to");
        self.note(message.clone());
        Ok(peer.send_message(Status::ZERO, message.len().to_string()).await?)
    }

    async fn disconnected(&mut self, _: &Peer, end: &End) {
        self.note(end.to_string());
    }
}

const SOON: Backoff = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(10) };

fn client(addr: SocketAddr) -> Client {
    Client::new(addr.to_string(), Config::default()).with_backoff(SOON)
}

/// A port where nobody listens, and nobody else can.
fn deaf() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Fails after five minutes of the clock on the wall, whatever that of the runtime says.
async fn in_time(test: impl Future<Output = ()>) {
    let (late, deadline) = oneshot::channel();
    let (_kept, dropped) = mpsc::channel::<()>();
    thread::spawn(move || {
        if dropped.recv_timeout(Duration::from_secs(300)) == Err(RecvTimeoutError::Timeout) {
            // It may end at this very moment.
            let _ = late.send(());
        }
    });
    tokio::select! {
        () = test => {}
        Ok(()) = deadline => panic!("it goes on for ever"),
    }
}

async fn accept(listener: &TcpListener) -> Connection {
    let (stream, _) = listener.accept().await.unwrap();
    Connection::from_tcp(stream, &Config::default()).unwrap()
}

/// Sends a message and closes when the answer has come, which is returned.
async fn ask(connection: Connection, message: &str) -> Option<String> {
    let (mut receiver, mut sender) = connection.split();
    sender.send_message(Status::ZERO, message.as_bytes()).await.unwrap();
    let mut answer = None;
    while let Ok(Some(event)) = receiver.next().await {
        match event {
            Event::MessageData(bytes) => answer = Some(String::from_utf8(bytes.to_vec()).unwrap()),
            Event::FrameEnd => break,
            _ => {}
        }
    }
    answer
}

#[tokio::test]
async fn a_client_connects_again_after_each_end_and_each_refusal() {
    let (socket, addr) = deaf();
    let (diary, done) = (Diary::default(), Notify::new());
    let client = client(addr);
    let serve = client.serve(|| diary.clone(), Options::default(), done.notified());
    let peer = async {
        // Long enough for some refusals, though nothing depends on it.
        tokio::time::sleep(Duration::from_millis(30)).await;
        let listener = socket.listen(16).unwrap();
        assert_eq!(ask(accept(&listener).await, "one").await.as_deref(), Some("3"));
        // Its handler is gone without an answer, and nothing else is.
        assert_eq!(ask(accept(&listener).await, "panic").await, None);
        assert_eq!(ask(accept(&listener).await, "three").await.as_deref(), Some("5"));
        let connection = accept(&listener).await;
        done.notify_one();
        connection
    };
    in_time(async {
        let ((), _connection) = tokio::join!(serve, peer);
    })
    .await;
    let lines = diary.lines();
    assert_eq!(
        lines[..7],
        ["connected", "one", "closed", "connected", "connected", "three", "closed"],
        "{lines:?}"
    );
    // The last one may have come too late for a call, or ends by the shutdown.
    assert!(matches!(lines[7..].join(",").as_str(), "" | "connected,shut down"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_nothing_grows_as_well_and_each_failure_is_told() {
    let (_socket, addr) = deaf();
    let backoff = Backoff { first: Duration::ZERO, longest: Duration::from_secs(1) };
    let failures = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&failures);
    let client =
        Client::new(addr.to_string(), Config::default()).with_backoff(backoff).with_watch(move |error| {
            let error: &std::io::Error = error.downcast_ref().unwrap();
            told.lock().unwrap().push(error.kind());
        });
    let shutdown = tokio::time::sleep(Duration::from_secs(60));
    client.serve(|| -> Diary { panic!("nobody listens there") }, Options::default(), shutdown).await;
    let failures = failures.lock().unwrap();
    assert!(failures.iter().all(|kind| *kind == std::io::ErrorKind::ConnectionRefused), "{failures:?}");
    // Eleven until a second is reached, and then one in three quarters of a second at most.
    assert!((60..100).contains(&failures.len()), "{} attempts", failures.len());
}

#[tokio::test]
async fn a_shutdown_ends_a_client_that_waits() {
    let (_socket, addr) = deaf();
    let backoff = Backoff { first: Duration::from_secs(3600), longest: Duration::from_secs(3600) };
    let client = Client::new(addr.to_string(), Config::default()).with_backoff(backoff);
    let shutdown = tokio::time::sleep(Duration::from_millis(30));
    in_time(client.serve(|| -> Diary { panic!("nobody listens there") }, Options::default(), shutdown)).await;
}

#[tokio::test]
async fn a_shutdown_lets_the_frame_that_has_begun_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (diary, done) = (Diary::default(), Notify::new());
    let client = client(listener.local_addr().unwrap());
    let serve = client.serve(|| diary.clone(), Options::default(), done.notified());
    let peer = async {
        let (mut receiver, mut sender) = accept(&listener).await.split();
        sender.start_frame(Status::ZERO, 0).await.unwrap();
        sender.start_message(4).await.unwrap();
        sender.push().await.unwrap();
        diary.begun.notified().await;
        done.notify_one();
        let space = sender.payload_space().await.unwrap();
        space[..4].copy_from_slice(b"last");
        sender.commit_payload(4).unwrap();
        sender.push().await.unwrap();
        let mut answer = Vec::new();
        while let Some(event) = receiver.next().await.unwrap() {
            if let Event::MessageData(bytes) = event {
                answer.extend_from_slice(bytes);
            }
        }
        assert_eq!(answer, b"4");
    };
    in_time(async {
        tokio::join!(serve, peer);
    })
    .await;
    assert_eq!(diary.lines(), ["connected", "last", "shut down"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_longer_each_time_for_a_peer_that_accepts_and_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap().to_string(), Config::default());
    let starts = Mutex::new(Vec::new());
    let done = Notify::new();
    let handler = || {
        let mut starts = starts.lock().unwrap();
        starts.push(Instant::now());
        if starts.len() == 11 {
            done.notify_one();
        }
        Diary::default()
    };
    let close = async {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
        pending::<()>().await;
    };
    in_time(async {
        tokio::select! {
            () = client.serve(handler, Options::default(), done.notified()) => {}
            () = close => {}
        }
    })
    .await;
    let starts = starts.into_inner().unwrap();
    let waits: Vec<f64> =
        starts.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs_f64()).collect();
    let expected = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0];
    for (wait, expected) in waits.iter().zip(expected) {
        // Timers have a resolution of a millisecond.
        assert!((expected * 0.75..=expected + 0.002).contains(wait), "{waits:?}");
    }
    assert!(waits.iter().zip(expected).any(|(wait, expected)| *wait < expected * 0.99), "{waits:?}");
}
