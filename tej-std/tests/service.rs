//! Handlers, over in-memory streams and over TCP.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tej_std::service::{End, Failed, Frame, Gone, Handler, NotQueued, Options, Peer, serve};
use tej_std::{
    Admission, Config, Connection, OutgoingFrame, ReceiveError, SendError, Server, Status, Timeouts, Trouble,
    connect,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

fn over(
    stream: DuplexStream,
    config: &Config,
) -> Connection<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>> {
    let (read, write) = split(stream);
    Connection::new(read, write, config)
}

fn message(text: &str) -> OutgoingFrame<'static> {
    OutgoingFrame::new(Status::ZERO).message(text.to_owned())
}

/// The frame of a message, as it goes over the wire.
fn framed(message: &[u8]) -> Vec<u8> {
    [b"\x80\x01\0\0\0\0\0\0\0\0", &message.len().to_be_bytes()[..], message].concat()
}

/// Writes down every call, and echoes messages.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Handler for Diary {
    async fn connected(&mut self, peer: &Peer) -> Result<(), Failed> {
        self.note("connected");
        peer.send(message("welcome")).await?;
        Ok(())
    }

    async fn received(&mut self, peer: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
        let mut files = Vec::new();
        while let Some(mut file) = frame.next_file().await? {
            let mut content = String::new();
            file.read_to_string(&mut content).await?;
            files.push(format!("{}={content}", String::from_utf8_lossy(file.name())));
        }
        let text = String::from_utf8(frame.message().await?)?;
        self.note(format!("received {} {} {text}", frame.status().value(), files.join(",")));
        match text.as_str() {
            "fail" => Err("the handler has had enough".into()),
            "panic" => panic!("a handler may panic"),
            "close" => {
                peer.send(message("goodbye")).await?;
                peer.close();
                Ok(())
            }
            _ => Ok(peer.send(message(&text)).await?),
        }
    }

    async fn ping_received(&mut self, _: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
        self.note(format!("ping {}", String::from_utf8(frame.message().await?)?));
        Ok(())
    }

    async fn disconnected(&mut self, peer: &Peer, end: &End) {
        assert_eq!(peer.send(message("too late")).await, Err(Gone));
        self.note(format!("disconnected: {end}"));
    }
}

/// The messages that come until the stream ends.
async fn messages<R: tokio::io::AsyncRead + Unpin>(
    receiver: &mut tej_std::Receiver<R>,
) -> Result<Vec<String>, ReceiveError> {
    let mut messages = Vec::new();
    while let Some(mut frame) = receiver.next_frame().await? {
        messages.push(String::from_utf8(frame.message().await?).unwrap());
    }
    Ok(messages)
}

// case 29
#[tokio::test]
async fn every_event_is_told_and_a_half_closed_peer_still_gets_its_replies() {
    let (ours, theirs) = duplex(64);
    let diary = Diary::default();
    let serving = serve(over(ours, &Config::default()), None, diary.clone(), &DEFAULT);
    let client = async {
        let (mut receiver, mut sender) = over(theirs, &Config::default()).split();
        let long = "x".repeat(1000);
        let send = async {
            sender.send_frame(message("one").bytes("a", "1").bytes("b", "2")).await.unwrap();
            sender.send_frame(OutgoingFrame::new(Status::PING).message("still here")).await.unwrap();
            sender.send_message(Status::new(7).unwrap(), long.as_bytes()).await.unwrap();
            sender.shutdown().await.unwrap();
        };
        let receive = async {
            // Everything has been sent before anything is taken.
            sleep(Duration::from_millis(20)).await;
            messages(&mut receiver).await.unwrap()
        };
        let ((), received) = tokio::join!(send, receive);
        assert_eq!(received, ["welcome", "one", &long]);
    };
    let (end, ()) = tokio::join!(serving, client);
    assert!(matches!(end, End::Closed), "{end}");
    let lines = diary.lines();
    assert_eq!(lines[..3], ["connected", "received 0 a=1,b=2 one", "ping still here"]);
    assert!(lines[3].starts_with("received 7  xxx"));
    assert_eq!(lines[4], "disconnected: closed");
}

#[tokio::test]
async fn a_handler_ends_its_connection_by_an_error_or_by_closing_it() {
    for (text, last, end) in
        [("fail", "welcome", "the handler has had enough"), ("close", "goodbye", "closed")]
    {
        let (ours, theirs) = duplex(1 << 16);
        let diary = Diary::default();
        let serving = serve(over(ours, &Config::default()), None, diary.clone(), &DEFAULT);
        let client = async {
            let (mut receiver, mut sender) = over(theirs, &Config::default()).split();
            sender.send_message(Status::ZERO, text.as_bytes()).await.unwrap();
            messages(&mut receiver).await.unwrap()
        };
        let (_, received) = tokio::join!(serving, client);
        assert_eq!(received.last().unwrap(), last);
        assert_eq!(diary.lines().last().unwrap(), &format!("disconnected: {end}"));
    }
}

#[tokio::test]
async fn the_peers_fault_ends_the_connection_whatever_the_handler_makes_of_it() {
    let (ours, mut theirs) = duplex(1 << 16);
    let diary = Diary::default();
    let frame = b"\x80\x01\0\0\0\0\0\0\0\x01\0\x01n\0\0\0\0\0\0\0\x05ab";
    theirs.write_all(frame).await.unwrap();
    theirs.shutdown().await.unwrap();
    let end = serve(over(ours, &Config::default()), None, diary.clone(), &DEFAULT).await;
    assert!(matches!(end, End::Receive(ReceiveError::Decode(_))), "{end}");
    assert_eq!(diary.lines().len(), 2, "{:?}", diary.lines());
}

/// Looks at the beginning of a file alone, and does what its name says.
struct Hasty;

impl Handler for Hasty {
    async fn received(&mut self, peer: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
        let mut file = frame.next_file().await?.ok_or("no file")?;
        file.read_exact(&mut [0; 4]).await?;
        peer.send(message("I have seen enough")).await?;
        match file.name() {
            b"close" => peer.close(),
            b"fail" => return Err("enough".into()),
            _ => file.read_exact(&mut [0; 1]).await.map(drop)?,
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_frame_that_nobody_wants_is_not_waited_for() {
    for (name, expected) in [("fail", "enough"), ("close", "closed")] {
        let (ours, theirs) = duplex(1 << 16);
        let serving = serve(over(ours, &Config::default()), None, Hasty, &DEFAULT);
        let client = async {
            let (mut receiver, mut sender) = over(theirs, &Config::default()).split();
            sender.start_frame(Status::ZERO, 1).await.unwrap();
            sender.start_file(name, 1 << 40).await.unwrap();
            sender.payload_space().await.unwrap();
            sender.commit_payload(100).unwrap();
            sender.push().await.unwrap();
            // The rest never comes.
            (messages(&mut receiver).await.unwrap(), sender)
        };
        let both = async { tokio::join!(serving, client) };
        let (end, (received, _)) = timeout(PATIENCE, both).await.expect("it waits for the frame");
        assert_eq!(end.to_string(), expected);
        assert_eq!(received, ["I have seen enough"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_the_handler_passes_on_is_the_peers() {
    let (ours, mut theirs) = duplex(1 << 16);
    theirs.write_all(b"\x80\x01\0\0\0\0\0\0\0\x01\0\x01n\0\0\0\0\0\0\0\x05abcd").await.unwrap();
    theirs.shutdown().await.unwrap();
    let end = serve(over(ours, &Config::default()), None, Hasty, &DEFAULT).await;
    assert!(matches!(end, End::Receive(ReceiveError::Decode(_))), "{end}");
}

// case 34
#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_is_taken_slowly() {
    for (rate, pings) in [(1, 20), (10, 100)] {
        let (ours, theirs) = duplex(64);
        let options = Options { pings_per_second: rate, ..DEFAULT };
        let serving = serve(over(ours, &Config::default()), None, Diary::default(), &options);
        let start = Instant::now();
        let client = async {
            let (mut receiver, mut sender) = over(theirs, &Config::default()).split();
            let send = async {
                for _ in 0..pings {
                    sender.send_ping().await.unwrap();
                }
                sender.shutdown().await.unwrap();
            };
            tokio::join!(send, messages(&mut receiver)).1.unwrap();
        };
        tokio::join!(serving, client);
        let seconds = start.elapsed().as_secs();
        let least = u64::from(pings / rate) - 1;
        assert!((least..=least + 1).contains(&seconds), "{pings} pings in {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_filled_with_pings() {
    let (ours, theirs) = duplex(1 << 16);
    let options = Options { ping_interval: Some(Duration::from_secs(5)), ..DEFAULT };
    let serving = serve(over(ours, &Config::default()), None, Diary::default(), &options);
    let client = async {
        let (mut receiver, mut sender) = over(theirs, &Config::default()).split();
        let start = Instant::now();
        let mut pings = Vec::new();
        while pings.len() < 3 {
            let frame = receiver.next_frame().await.unwrap().unwrap();
            if frame.status().is_ping() {
                pings.push(start.elapsed().as_secs());
            }
        }
        sender.shutdown().await.unwrap();
        pings
    };
    let (_, pings) = tokio::join!(serving, client);
    assert_eq!(pings, [5, 10, 15]);
}

/// Waits for a word before it takes the next frame.
struct Slow(Arc<AtomicUsize>);

impl Handler for Slow {
    async fn received(&mut self, _: &Peer, _: &mut Frame<'_>) -> Result<(), Failed> {
        self.0.fetch_add(1, Ordering::Relaxed);
        pending().await
    }
}

// case 32
#[tokio::test]
async fn a_slow_handler_is_back_pressure_and_not_memory() {
    let (ours, mut theirs) = duplex(4096);
    let config = Config { receive_buffer: 16 * 1024, ..Config::default() };
    let handled = Arc::new(AtomicUsize::new(0));
    let serving = tokio::spawn({
        let handler = Slow(Arc::clone(&handled));
        async move { serve(over(ours, &config), None, handler, &DEFAULT).await }
    });
    let frame = [&b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04\0"[..], &[b'm'; 1024]].concat();
    let mut taken = 0;
    while let Ok(written) = timeout(Duration::from_millis(200), theirs.write(&frame)).await {
        taken += written.unwrap();
    }
    assert_eq!(handled.load(Ordering::Relaxed), 1);
    // The line's 4 KiB, and what was read ahead.
    assert!(taken < 4096 + 16 * 1024, "{taken} bytes were taken");
    serving.abort();
}

/// Takes a minute over each frame.
struct Thorough;

impl Handler for Thorough {
    async fn received(&mut self, peer: &Peer, _: &mut Frame<'_>) -> Result<(), Failed> {
        sleep(Duration::from_secs(60)).await;
        Ok(peer.send(message("done")).await?)
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_is_not_its_peers_silence() {
    let (ours, theirs) = duplex(1 << 16);
    let timeouts = Timeouts { idle: Some(Duration::from_secs(10)), ..Timeouts::PATIENT };
    let config = Config { timeouts, ..Config::default() };
    let serving = serve(over(ours, &config), None, Thorough, &DEFAULT);
    let client = async {
        let (mut receiver, mut sender) = over(theirs, &Config::default()).split();
        for _ in 0..2 {
            sender.send_message(Status::ZERO, b"").await.unwrap();
            receiver.next_frame().await.unwrap().unwrap().finish().await.unwrap();
            // Nine seconds of silence are fine.
            sleep(Duration::from_secs(9)).await;
        }
        let silent = Instant::now();
        assert!(receiver.next_frame().await.unwrap().is_none());
        silent.elapsed().as_secs()
    };
    let (end, waited) = tokio::join!(serving, client);
    assert!(matches!(end, End::Receive(ReceiveError::Timeout)), "{end}");
    assert!((0..2).contains(&waited), "{waited} s");
}

/// Keeps its peer for others to send to.
struct Open(Option<oneshot::Sender<Peer>>);

impl Handler for Open {
    async fn connected(&mut self, peer: &Peer) -> Result<(), Failed> {
        if let Some(give) = self.0.take() {
            give.send(peer.clone()).unwrap();
        }
        Ok(())
    }

    async fn received(&mut self, _: &Peer, _: &mut Frame<'_>) -> Result<(), Failed> {
        Ok(())
    }
}

// case 35
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_many_senders_never_mix() {
    const SENDERS: usize = 20;
    const FRAMES: usize = 25;
    let (ours, theirs) = duplex(100);
    let (give, given) = oneshot::channel();
    let serving =
        tokio::spawn(
            async move { serve(over(ours, &Config::default()), None, Open(Some(give)), &DEFAULT).await },
        );
    let peer = given.await.unwrap();
    for sender in 0..SENDERS {
        let peer = peer.clone();
        tokio::spawn(async move {
            for number in 0..FRAMES {
                let content = vec![u8::try_from(sender).unwrap(); 500 + number];
                let text = format!("{sender} {number}");
                let frame = message(&text).bytes("first", content.clone()).bytes("second", content);
                peer.send(frame).await.unwrap();
            }
        });
    }
    let (mut receiver, mut sender) = over(theirs, &Config::default()).split();
    let mut next = HashMap::new();
    for _ in 0..SENDERS * FRAMES {
        let mut frame = receiver.next_frame().await.unwrap().unwrap();
        let mut files = Vec::new();
        while let Some(mut file) = frame.next_file().await.unwrap() {
            let mut content = Vec::new();
            file.read_to_end(&mut content).await.unwrap();
            files.push(content);
        }
        let text = String::from_utf8(frame.message().await.unwrap()).unwrap();
        let (from, number) = text.split_once(' ').unwrap();
        let (from, number): (u8, usize) = (from.parse().unwrap(), number.parse().unwrap());
        assert_eq!(files, [vec![from; 500 + number], vec![from; 500 + number]]);
        let expected = next.entry(from).or_insert(0);
        assert_eq!(number, *expected, "of sender {from}");
        *expected += 1;
    }
    sender.shutdown().await.unwrap();
    drop(receiver);
    drop(sender);
    serving.await.unwrap();
}

// case 25
#[tokio::test(start_paused = true)]
async fn the_queue_of_a_peer_that_takes_nothing_is_bounded_and_has_a_deadline() {
    for queue in [1, 2, 16] {
        let (ours, theirs) = duplex(8);
        let timeouts = Timeouts { write: Some(Duration::from_secs(30)), ..Timeouts::PATIENT };
        let config = Config { timeouts, ..Config::default() };
        let (give, given) = oneshot::channel();
        let options = Options { queue, ..DEFAULT };
        let serving = serve(over(ours, &config), None, Open(Some(give)), &options);
        let start = Instant::now();
        let fill = async {
            let peer = given.await.unwrap();
            let mut queued = 0;
            // One of them is taken from the queue, to be written.
            for _ in 0..queue + 10 {
                queued += usize::from(peer.try_send(message("more")).is_ok());
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(queued, queue + 1);
            assert!(matches!(peer.try_send(message("more")), Err(NotQueued::Full(_))));
            let waited = peer.send(message("more")).await;
            assert_eq!(waited, Err(Gone));
            assert!(matches!(peer.try_send(message("more")), Err(NotQueued::Gone)));
        };
        let (end, ()) = tokio::join!(serving, fill);
        assert!(matches!(end, End::Send(SendError::Timeout)), "{end}");
        assert!((30..32).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        drop(theirs);
    }
}

/// Pushes a large file as soon as it can, and counts what comes.
struct Push(u64, Arc<Mutex<u64>>);

impl Handler for Push {
    async fn connected(&mut self, peer: &Peer) -> Result<(), Failed> {
        let zeros = OutgoingFrame::new(Status::ZERO).reader("zeros", self.0, tokio::io::repeat(0));
        Ok(peer.send(zeros).await?)
    }

    async fn received(&mut self, peer: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
        while let Some(mut file) = frame.next_file().await? {
            let n = tokio::io::copy(&mut file, &mut tokio::io::sink()).await?;
            *self.1.lock().unwrap() += n;
        }
        peer.close();
        Ok(())
    }
}

// case 36
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_push_64_mib_first_and_neither_waits_for_ever() {
    const SIZE: u64 = 64 << 20;
    let (ours, theirs) = duplex(1 << 16);
    let side = |stream| {
        let count = Arc::new(Mutex::new(0));
        let handler = Push(SIZE, Arc::clone(&count));
        let serving = tokio::spawn(async move {
            let options = Options { shutdown: Duration::from_secs(60), ..DEFAULT };
            serve(over(stream, &Config::default()), None, handler, &options).await
        });
        (serving, count)
    };
    let ((first, first_count), (second, second_count)) = (side(ours), side(theirs));
    let both = timeout(Duration::from_secs(120), async { (first.await.unwrap(), second.await.unwrap()) });
    let ends = both.await.expect("a deadlock");
    assert!(matches!(ends, (End::Closed, End::Closed)), "{ends:?}");
    assert_eq!((*first_count.lock().unwrap(), *second_count.lock().unwrap()), (SIZE, SIZE));
}

/// Sends until it is told that the peer is gone, and then goes on for a while.
#[derive(Clone, Default)]
struct Persistent(Diary);

impl Handler for Persistent {
    async fn received(&mut self, peer: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
        let text = String::from_utf8(frame.message().await?)?;
        while peer.send_message(Status::ZERO, vec![0; 1000]).await.is_ok() {}
        sleep(Duration::from_secs(60)).await;
        self.0.note(format!("handled {text}"));
        Ok(())
    }

    async fn disconnected(&mut self, _: &Peer, end: &End) {
        self.0.note(end.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_from_a_peer_that_is_gone_is_handled_to_its_end() {
    let (mut theirs, read) = duplex(1 << 16);
    let (write, gone) = duplex(64);
    theirs.write_all(&[framed(b"one"), framed(b"two")].concat()).await.unwrap();
    drop((theirs, gone));
    let handler = Persistent::default();
    let end = serve(Connection::new(read, write, &Config::default()), None, handler.clone(), &DEFAULT).await;
    assert!(matches!(end, End::Send(SendError::Closed)), "{end}");
    assert_eq!(handler.0.lines(), ["handled one", "handled two", &end.to_string()]);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_that_takes_nothing_has_begun_is_handled_to_its_end() {
    let (ours, mut theirs) = duplex(64);
    theirs.write_all(&[framed(b"one"), framed(b"two")].concat()).await.unwrap();
    let timeouts = Timeouts { write: Some(Duration::from_secs(30)), ..Timeouts::PATIENT };
    let config = Config { timeouts, ..Config::default() };
    let handler = Persistent::default();
    let end = serve(over(ours, &config), None, handler.clone(), &DEFAULT).await;
    assert!(matches!(end, End::Send(SendError::Timeout)), "{end}");
    assert_eq!(handler.0.lines(), ["handled one", &end.to_string()]);
}

/// A server with its address, what stops it, and what it ended with.
struct Running {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn start<H: Handler + 'static>(
    server: Server,
    options: Options,
    mut handler: impl FnMut() -> H + Send + 'static,
) -> Running {
    let address = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap() };
        server.serve(move |_| handler(), options, stopped).await
    });
    Running { address, stop, ended }
}

async fn local() -> Server {
    Server::bind("127.0.0.1:0", Config::default()).await.unwrap()
}

// case 31
#[tokio::test]
async fn a_handler_that_panics_takes_down_its_own_connection_alone() {
    let diary = Diary::default();
    let running = start(local().await, DEFAULT, {
        let diary = diary.clone();
        move || diary.clone()
    })
    .await;
    let (mut other, mut to_other) = connect(running.address, &Config::default()).await.unwrap().split();
    let (mut receiver, mut sender) = connect(running.address, &Config::default()).await.unwrap().split();
    sender.send_message(Status::ZERO, b"panic").await.unwrap();
    // It is gone; whether the welcome came first is of no interest.
    let _ = timeout(Duration::from_secs(10), messages(&mut receiver)).await.expect("it hangs");
    to_other.send_message(Status::ZERO, b"fine").await.unwrap();
    to_other.shutdown().await.unwrap();
    assert_eq!(messages(&mut other).await.unwrap(), ["welcome", "fine"]);
    running.stop.send(()).unwrap();
    running.ended.await.unwrap().unwrap();
}

/// Answers each frame with so many bytes, and then does what its message says.
struct Farewell(usize);

impl Handler for Farewell {
    async fn received(&mut self, peer: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
        let word = frame.message().await?;
        peer.send(OutgoingFrame::new(Status::ZERO).message(vec![7; self.0])).await?;
        match &word[..] {
            b"close" => peer.close(),
            b"fail" => return Err("enough".into()),
            _ => {}
        }
        Ok(())
    }
}

const MEGABYTE: usize = 1 << 20;

#[tokio::test]
async fn a_peer_that_pushes_megabytes_at_the_end_gets_its_whole_reply() {
    // One that the system takes at once, and one that waits for the peer.
    let sizes = [MEGABYTE, 16 * MEGABYTE];
    for (word, size) in
        ["close", "fail", "shut down"].into_iter().flat_map(|word| sizes.map(|size| (word, size)))
    {
        let running = start(local().await, DEFAULT, move || Farewell(size)).await;
        let mut client = TcpStream::connect(running.address).await.unwrap();
        client.write_all(&framed(word.as_bytes())).await.unwrap();
        // The reply begins, so the server has reached the end of what it does.
        client.read_exact(&mut [0; 1]).await.unwrap();
        if word == "shut down" {
            running.stop.send(()).unwrap();
        }
        for _ in 0..8 {
            let pushed = timeout(PATIENCE, client.write_all(&[0; MEGABYTE])).await;
            pushed.expect("the server does not read").expect("the server has reset the connection");
            sleep(Duration::from_millis(20)).await;
        }
        client.shutdown().await.unwrap();
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).await.expect("the server has reset the connection");
        assert_eq!(reply.len() + 1, framed(&vec![7; size]).len(), "{word}");
        running.ended.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_sending_for_ever_is_let_go() {
    for silent in [false, true] {
        let (ours, mut theirs) = duplex(1 << 16);
        let serving = serve(over(ours, &Config::default()), None, Farewell(MEGABYTE), &DEFAULT);
        let start = Instant::now();
        let client = async {
            theirs.write_all(&framed(b"close")).await.unwrap();
            let mut reply = vec![0; MEGABYTE];
            theirs.read_exact(&mut reply).await.unwrap();
            while !silent && theirs.write_all(&[0; 1000]).await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
            start.elapsed().as_secs()
        };
        let (end, sending) = tokio::join!(serving, client);
        assert!(matches!(end, End::Closed), "{end}");
        if silent {
            assert_eq!(start.elapsed().as_secs(), 5);
        } else {
            assert_eq!(sending, 30);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_peer_may_take_its_time_over_its_replies() {
    let (ours, mut theirs) = duplex(1 << 10);
    let options = Options { shutdown: Duration::from_secs(1), ..DEFAULT };
    let serving = serve(over(ours, &Config::default()), None, Farewell(MEGABYTE), &options);
    let client = async {
        theirs.write_all(&framed(b"")).await.unwrap();
        theirs.shutdown().await.unwrap();
        sleep(Duration::from_secs(3600)).await;
        let mut reply = Vec::new();
        theirs.read_to_end(&mut reply).await.unwrap();
        reply.len()
    };
    let (end, taken) = tokio::join!(serving, client);
    assert!(matches!(end, End::Closed), "{end}");
    assert_eq!(taken, framed(&[7; MEGABYTE]).len());
}

#[tokio::test]
async fn a_half_closed_peer_that_takes_nothing_does_not_hold_up_a_shutdown() {
    let options = Options { shutdown: Duration::from_millis(100), ..DEFAULT };
    let running = start(local().await, options, || Push(u64::MAX / 2, Arc::default())).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.read_exact(&mut [0; 1]).await.unwrap();
    client.shutdown().await.unwrap();
    // Several times the deadline, which does not run yet.
    sleep(Duration::from_millis(500)).await;
    assert!(!running.ended.is_finished());
    running.stop.send(()).unwrap();
    timeout(PATIENCE, running.ended).await.expect("it waits for the peer").unwrap().unwrap();
}

/// A client that has been welcomed, and is inside a frame whose message of four bytes is still to come.
async fn inside_a_frame(running: &Running) -> (tej_std::Receiver, tej_std::Sender) {
    let (mut receiver, mut sender) = connect(running.address, &Config::default()).await.unwrap().split();
    receiver.next_frame().await.unwrap().unwrap().finish().await.unwrap();
    sender.start_frame(Status::ZERO, 0).await.unwrap();
    sender.start_message(4).await.unwrap();
    sender.push().await.unwrap();
    // Until the server has seen it.
    sleep(Duration::from_millis(200)).await;
    (receiver, sender)
}

// case 33
#[tokio::test]
async fn a_shutdown_lets_frames_end_and_closes_what_is_idle_or_comes_late() {
    let options = Options { shutdown: Duration::from_secs(3600), ..DEFAULT };
    let diary = Diary::default();
    let running = start(local().await, options, {
        let diary = diary.clone();
        move || diary.clone()
    })
    .await;
    let (mut idle, to_idle) = connect(running.address, &Config::default()).await.unwrap().split();
    let (mut slow, mut to_slow) = inside_a_frame(&running).await;
    running.stop.send(()).unwrap();
    let idle = timeout(PATIENCE, messages(&mut idle)).await.expect("it is not closed").unwrap();
    assert_eq!(idle, ["welcome"]);
    drop(to_idle);
    let (mut late, _to_late) = connect(running.address, &Config::default()).await.unwrap().split();
    let late = timeout(PATIENCE, late.next_frame()).await.expect("it hangs in the queue of the listener");
    assert!(!matches!(late, Ok(Some(_))), "it was served");
    assert!(!running.ended.is_finished());
    to_slow.payload_space().await.unwrap()[..4].copy_from_slice(b"slow");
    to_slow.commit_payload(4).unwrap();
    to_slow.push().await.unwrap();
    assert_eq!(messages(&mut slow).await.unwrap(), ["slow"]);
    drop(to_slow);
    timeout(PATIENCE, running.ended).await.expect("nobody is left").unwrap().unwrap();
    assert!(connect(running.address, &Config::default()).await.is_err(), "it does not listen any more");
    let ends = diary.lines().into_iter().filter(|line| line.starts_with("disconnected")).collect::<Vec<_>>();
    assert_eq!(ends, ["disconnected: shut down"; 2]);
}

// case 33
#[tokio::test]
async fn a_shutdown_gives_up_who_is_stuck_at_its_deadline() {
    let options = Options { shutdown: Duration::from_millis(500), ..DEFAULT };
    let running = start(local().await, options, Diary::default).await;
    let (mut stuck, _to_stuck) = inside_a_frame(&running).await;
    let stopping = Instant::now();
    running.stop.send(()).unwrap();
    timeout(PATIENCE, running.ended).await.expect("it waits for ever").unwrap().unwrap();
    assert!(stopping.elapsed() >= options.shutdown, "it gave up early");
    let cut = timeout(PATIENCE, messages(&mut stuck)).await.expect("it is still open");
    assert!(cut.map_or(true, |replies| replies.is_empty()), "it was answered");
}

// case 23
#[tokio::test]
async fn connections_over_the_caps_are_closed_and_those_below_are_served() {
    for (admission, served) in [
        (Admission { connections: 2, per_address: 9 }, 2),
        (Admission { connections: 9, per_address: 3 }, 3),
        (Admission { connections: 4, per_address: 4 }, 4),
    ] {
        let refused = Arc::new(AtomicUsize::new(0));
        let server = local().await.with_admission(admission).with_watch({
            let refused = Arc::clone(&refused);
            move |trouble| {
                assert!(matches!(trouble, Trouble::Refused { .. }), "{trouble}");
                refused.fetch_add(1, Ordering::Relaxed);
            }
        });
        let running = start(server, DEFAULT, Diary::default).await;
        let mut open = Vec::new();
        for _ in 0..served {
            let (mut receiver, sender) = connect(running.address, &Config::default()).await.unwrap().split();
            assert!(receiver.next_frame().await.unwrap().is_some());
            open.push((receiver, sender));
        }
        for _ in 0..3 {
            // Told by a reset, be it while it still connects.
            if let Ok(connection) = connect(running.address, &Config::default()).await {
                let (mut receiver, _sender) = connection.split();
                assert!(matches!(receiver.next_frame().await, Err(ReceiveError::Io(_))), "it was served");
            }
        }
        assert_eq!(refused.load(Ordering::Relaxed), 3);
        // One goes, one comes.
        drop(open.pop());
        let again = async {
            loop {
                if let Ok(connection) = connect(running.address, &Config::default()).await {
                    let (mut receiver, sender) = connection.split();
                    if let Ok(Some(_)) = receiver.next_frame().await {
                        break sender;
                    }
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), again).await.expect("a place is given back");
        drop(open);
        running.stop.send(()).unwrap();
        running.ended.await.unwrap().unwrap();
    }
}

// case 25
#[tokio::test]
async fn a_peer_that_stops_reading_delays_nobody_else() {
    let running = start(local().await, DEFAULT, || Push(u64::MAX / 2, Arc::default())).await;
    // It is sent more than it will ever take.
    let deaf = connect(running.address, &Config::default()).await.unwrap();
    for _ in 0..5 {
        let (mut receiver, _sender) = connect(running.address, &Config::default()).await.unwrap().split();
        let mut frame = receiver.next_frame().await.unwrap().unwrap();
        let mut file = frame.next_file().await.unwrap().unwrap();
        let mut some = vec![1; 1 << 20];
        timeout(Duration::from_secs(10), file.read_exact(&mut some)).await.expect("it waits").unwrap();
        assert_eq!(some, vec![0; 1 << 20]);
    }
    drop(deaf);
    running.ended.abort();
}

/// Much longer than anything takes that ends at all.
const PATIENCE: Duration = Duration::from_secs(60);

const DEFAULT: Options =
    Options { queue: 16, ping_interval: None, pings_per_second: 10, shutdown: Duration::from_secs(10) };

/// Takes its time over each piece of a file, on the processor.
struct Busy(Mutex<Option<oneshot::Sender<Peer>>>);

impl Handler for Busy {
    async fn connected(&mut self, peer: &Peer) -> Result<(), Failed> {
        if let Some(given) = self.0.lock().unwrap().take() {
            let _ = given.send(peer.clone());
        }
        Ok(())
    }

    async fn received(&mut self, _: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
        while let Some(mut file) = frame.next_file().await? {
            let mut piece = vec![0; 64 * 1024];
            while file.read(&mut piece).await? > 0 {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
        Ok(())
    }
}

// case 36
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_queued_is_sent_beside_an_upload_that_never_pauses() {
    const MESSAGES: usize = 300;
    let server = local().await;
    let addr = server.local_addr().unwrap();
    let (give, given) = oneshot::channel();
    let give = Mutex::new(Some(give));
    let serve = server.serve(move |_| Busy(Mutex::new(give.lock().unwrap().take())), DEFAULT, pending());
    let (mut receiver, mut sender) = connect(addr, &Config::default()).await.unwrap().split();
    let upload = async {
        sender.start_frame(Status::ZERO, 1).await.unwrap();
        sender.send_file("endless", 1 << 40, &mut tokio::io::repeat(7)).await.unwrap();
    };
    let talk = async {
        let peer = given.await.unwrap();
        for number in 0..MESSAGES {
            peer.send(message(&number.to_string())).await.unwrap();
            let received = receiver.next_frame().await.unwrap().unwrap().message().await.unwrap();
            assert_eq!(received, number.to_string().as_bytes());
        }
    };
    let all = async {
        tokio::select! {
            served = serve => panic!("{served:?}"),
            () = upload => panic!("a terabyte was sent"),
            () = talk => {}
        }
    };
    timeout(Duration::from_secs(120), all).await.expect("what was queued waits for the upload");
}

/// Answers with a file whose source never yields anything.
struct Stalled;

impl Handler for Stalled {
    async fn received(&mut self, peer: &Peer, _: &mut Frame<'_>) -> Result<(), Failed> {
        let (source, end) = duplex(1);
        // Kept open for ever.
        std::mem::forget(end);
        Ok(peer.send(OutgoingFrame::new(Status::ZERO).reader("never", 10, source)).await?)
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_stalls_does_not_keep_a_connection() {
    for stays in [true, false] {
        let (ours, mut theirs) = duplex(1 << 16);
        let config = Config { timeouts: Timeouts::STRANGERS, ..Config::default() };
        theirs.write_all(&framed(b"please")).await.unwrap();
        if !stays {
            theirs.shutdown().await.unwrap();
        }
        let end = timeout(Duration::from_secs(3600), serve(over(ours, &config), None, Stalled, &DEFAULT));
        let end = end.await.expect("it never ends");
        assert!(matches!(end, End::Send(SendError::Source(_))), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_that_nobody_polls_does_not_keep_a_connection() {
    /// Closes, with a send that has begun to wait for room and is left there.
    struct Forgetful;

    impl Handler for Forgetful {
        async fn connected(&mut self, peer: &Peer) -> Result<(), Failed> {
            let peer = peer.clone();
            peer.send(message(&"x".repeat(100))).await?;
            tokio::spawn(async move {
                // The first is being written by then.
                sleep(Duration::from_millis(1)).await;
                while peer.try_send(message("queued")).is_ok() {}
                let mut waits = Box::pin(peer.send(message("one too many")));
                tokio::select! {
                    biased;
                    _ = &mut waits => panic!("there was room"),
                    () = sleep(Duration::from_millis(1)) => {}
                }
                // Until there is room, which is its now.
                sleep(Duration::from_secs(10)).await;
                peer.close();
                pending::<()>().await;
                drop(waits);
            });
            Ok(())
        }

        async fn received(&mut self, _: &Peer, _: &mut Frame<'_>) -> Result<(), Failed> {
            Ok(())
        }
    }

    let (ours, mut theirs) = duplex(16);
    let options = Options { queue: 2, ..DEFAULT };
    let config = Config { send_buffer: 1, ..Config::default() };
    let serving = serve(over(ours, &config), None, Forgetful, &options);
    let peer = async {
        sleep(Duration::from_secs(1)).await;
        let mut all = Vec::new();
        let read = theirs.read_to_end(&mut all);
        timeout(Duration::from_secs(60), read).await.expect("no end").unwrap();
        theirs.shutdown().await.unwrap();
        all
    };
    let both = async { tokio::join!(serving, peer) };
    let (end, all) = timeout(Duration::from_secs(3600), both).await.expect("it never ends");
    assert!(matches!(end, End::Closed), "{end}");
    assert!(all.ends_with(b"queued"), "{}", String::from_utf8_lossy(&all));
}

#[tokio::test(start_paused = true)]
async fn a_handlers_own_error_is_told_though_its_peer_is_gone() {
    struct Full;

    impl Handler for Full {
        async fn received(&mut self, peer: &Peer, _: &mut Frame<'_>) -> Result<(), Failed> {
            sleep(Duration::from_secs(1)).await;
            while peer.send_message(Status::ZERO, "stored").await.is_ok() {}
            sleep(Duration::from_secs(1)).await;
            Err("the disk is full".into())
        }
    }

    let (ours, mut theirs) = duplex(1 << 16);
    theirs.write_all(&framed(b"store this")).await.unwrap();
    drop(theirs);
    let end = serve(over(ours, &Config::default()), None, Full, &DEFAULT).await;
    assert!(matches!(&end, End::Handler(error) if error.to_string() == "the disk is full"), "{end}");
}
