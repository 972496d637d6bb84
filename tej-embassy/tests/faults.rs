//! A wire on which everything goes wrong, and peers that go away at every byte.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use embassy_futures::join::{join, join3};
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_net::Stack;
use embassy_time::{Duration, Instant, Timer};
use sha2::{Digest, Sha256};
use tej_core::io::{ReadError, WriteError};
use tej_core::{Event, Status};
use tej_embassy::{
    Backoff, Buffers, CloseError, Config, Connection, Dialer, Error, Listener, Receiver, Sender, serve,
};
use tej_files::{Digested, FileSink, LendingSink, Outcome, Received, StartError, Store, send_file};
use tej_testkit::{
    Direction, End, Faults, Frame, Random, THERE, Wire, bytes, leak, on_seeded_stacks, on_two_stacks,
    receive, send, send_cut,
};

// case 55
#[test]
fn digests_are_equal_on_a_wire_that_loses_doubles_delays_and_corrupts() {
    let rough = Faults { lost: 50, doubled: 30, late: 30, corrupted: 50 };
    let lost = Faults { lost: 200, ..Faults::NONE };
    let corrupted = Faults { corrupted: 200, ..Faults::NONE };
    // Retransmissions that are lost as well pause twice as long each time, up to a minute, which is no silence.
    let long = Duration::from_secs(1200);
    let patient = Config { lost_timeout: Some(long), close_timeout: long, ..CONFIG };
    for seed in 0..8 {
        for faults in [rough, lost, corrupted] {
            on_seeded_stacks(seed, async |here, there, wire| {
                let (up, down) = (bytes(1, 40_000), bytes(2, 40_000));
                let server = async {
                    // An end that is lost may cost the close its result, but not what was exchanged.
                    let _ = accept_and_exchange(there, patient, &down, &up).await;
                };
                let client = async {
                    let mut dialer = dialer_with(here, patient);
                    wire.set_faults(faults);
                    let mut connection = dialer.redial(|_, _| {}).await;
                    exchange(&mut connection, &up, &down).await;
                    // An end that is lost may cost the close its result, but not what was exchanged.
                    let _ = connection.close().await;
                };
                join(server, client).await;
            });
        }
    }
}

#[test]
fn stalls_of_either_direction_at_any_time_change_nothing() {
    for seed in 0..20 {
        on_seeded_stacks(seed, async |here, there, wire| {
            let (up, down) = (bytes(1, 60_000), bytes(2, 60_000));
            let done = Cell::new(false);
            let stalls = async {
                let random = Random::new(seed);
                while !done.get() {
                    Timer::after_micros(random.below(3000)).await;
                    let direction = if random.happens(500) { Direction::There } else { Direction::Back };
                    wire.stall(direction, Duration::from_micros(random.below(400_000)));
                }
            };
            let server = async {
                let _ = accept_and_exchange(there, CONFIG, &down, &up).await;
            };
            let client = async {
                let mut dialer = dialer(here);
                let mut connection = dialer.redial(|_, _| {}).await;
                exchange(&mut connection, &up, &down).await;
                let _ = connection.close().await;
                done.set(true);
            };
            join3(server, client, stalls).await;
        });
    }
}

// case 59
#[test]
fn a_link_that_is_down_for_a_while_in_mid_frame_changes_nothing() {
    on_two_stacks(async |here, there, wire| {
        let (up, down) = (bytes(1, 300_000), bytes(2, 300_000));
        let exchanged = Cell::new(false);
        let server = async {
            let _ = accept_and_exchange(there, CONFIG, &down, &up).await;
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.redial(|_, _| {}).await;
            exchange(&mut connection, &up, &down).await;
            exchanged.set(true);
            let _ = connection.close().await;
        };
        let cable = async {
            for outage in [1, 200, 5000] {
                in_mid_frame(wire).await;
                wire.set_link(false);
                Timer::after_millis(outage).await;
                assert!(!exchanged.get(), "the outage of {outage} ms came too late");
                wire.set_link(true);
            }
        };
        join3(server, client, cable).await;
    });
}

// cases 57 and 59
#[test]
fn a_link_that_stays_down_too_long_ends_the_connection_and_the_next_one_is_made() {
    on_two_stacks(async |here, there, wire| {
        let results = RefCell::new(Vec::new());
        let server = serve(there, PORT, leak([const { Small::new() }; 1]), CONFIG, async |mut connection| {
            let result = receive(connection.split().0).await;
            results.borrow_mut().push(result.map(|frame| frame.map(|frame| frame.message)));
            let _ = connection.close().await;
        });
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.redial(|_, _| {}).await;
            let (_, sender) = connection.split();
            let frame = Frame::file("long", bytes(1, 1 << 20));
            let sent = join(send(sender, &frame), async {
                in_mid_frame(wire).await;
                wire.set_link(false);
            });
            assert_eq!(sent.await.0, Err(WriteError::Io(Error::ConnectionReset)));
            drop(connection);
            let again = async {
                let mut connection = dialer.redial(|_, _| {}).await;
                send(connection.split().1, &Frame::message("again")).await.unwrap();
                connection.close().await.unwrap();
            };
            let cable = async {
                Timer::after_secs(60).await;
                wire.set_link(true);
            };
            join(again, cable).await;
        };
        assert!(matches!(select(server, client).await, Either::Second(_)));
        let expected = [Err(ReadError::Io(Error::ConnectionReset)), Ok(Some(b"again".to_vec()))];
        assert_eq!(results.into_inner(), expected);
    });
}

// case 59
#[test]
fn a_stream_that_is_cut_at_any_byte_is_reported_and_the_next_client_served() {
    let frame = Frame { message: b"message".to_vec(), ..Frame::file("name", b"data".to_vec()) };
    let stream = [frame.encode(), Frame::message("2").encode()].concat();
    let first = frame.encode().len();
    on_two_stacks(async |here, there, _| {
        let ends = RefCell::new(Vec::new());
        let server = serve(there, PORT, leak([const { Small::new() }; 2]), CONFIG, async |mut connection| {
            let mut frames = 0;
            let end = loop {
                match receive(connection.split().0).await {
                    Ok(Some(_)) => frames += 1,
                    end => break end,
                }
            };
            ends.borrow_mut().push((frames, end));
            let _ = connection.close().await;
        });
        let clients = async {
            for cut in 0..=stream.len() {
                for end in [End::Closed, End::Reset] {
                    send_cut(here, PORT, &stream[..cut], end).await;
                    while ends.borrow().is_empty() {
                        Timer::after_millis(1).await;
                    }
                    let (frames, result) = ends.borrow_mut().pop().unwrap();
                    let whole = usize::from(cut >= first) + usize::from(cut == stream.len());
                    assert_eq!(frames, whole, "{cut} {end:?}");
                    match (end, result) {
                        (End::Closed, Ok(None)) => assert!([0, first, stream.len()].contains(&cut), "{cut}"),
                        (End::Closed, Err(ReadError::Decode(error))) => assert_eq!(error.offset, cut as u64),
                        (End::Reset, Err(ReadError::Io(Error::ConnectionReset))) => {}
                        other => panic!("{other:?} at {cut}"),
                    }
                    assert!(ends.borrow().is_empty());
                }
            }
        };
        assert!(matches!(select(server, clients).await, Either::Second(())));
    });
}

#[test]
fn both_ends_push_8_mib_first() {
    on_two_stacks(async |here, there, _| {
        let (up, down) = (bytes(1, 8 << 20), bytes(2, 8 << 20));
        let server = async { accept_and_exchange(there, CONFIG, &down, &up).await.unwrap() };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.redial(|_, _| {}).await;
            exchange(&mut connection, &up, &down).await;
            connection.close().await.unwrap();
        };
        join(server, client).await;
    });
}

// case 56
#[test]
fn a_window_that_stays_closed_for_long_is_waited_for_if_that_is_wanted_and_opens_again() {
    on_two_stacks(async |here, there, _| {
        // Longer than the pauses between smoltcp's window probes.
        let config = Config { write_timeout: None, lost_timeout: Some(Duration::from_secs(90)), ..CONFIG };
        let data = bytes(1, 50_000);
        let server = async {
            let mut listener = Listener::new(there, PORT, leak(Small::new()), config);
            let mut connection = listener.accept().await;
            send(connection.split().1, &Frame::message(&data)).await.unwrap();
            connection.close().await.unwrap();
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.redial(|_, _| {}).await;
            let (receiver, _) = connection.split();
            let start = Instant::now();
            let mut received = Vec::new();
            // It reads a little, and then nothing for ten minutes, several times.
            while let Some(event) = receiver.next().await.unwrap() {
                if let Event::MessageData(piece) = event {
                    received.extend_from_slice(piece);
                    if received.len() % 10_000 < piece.len() {
                        Timer::after_secs(600).await;
                    }
                }
            }
            assert!(received == data);
            assert!(start.elapsed() > Duration::from_secs(2400));
            connection.close().await.unwrap();
        };
        join(server, client).await;
    });
}

// case 62
#[test]
fn a_sink_that_fails_in_mid_file_costs_that_file_alone_and_a_slow_one_nothing() {
    let frame = Frame {
        files: (0..4).map(|n| (vec![b'a' + n], bytes(n.into(), 20_000))).collect(),
        ..Frame::default()
    };
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = Listener::new(there, PORT, leak(Small::new()), CONFIG);
            let mut connection = listener.accept().await;
            let (receiver, sender) = connection.split();
            let mut store = Store::new(Digested::<_, Sha256>::new(Flaky::default()));
            let mut outcomes = Vec::new();
            while let Some(event) = receiver.next().await.unwrap() {
                if let Some(outcome) = store.take(event).await {
                    outcomes.push((outcome, store.sink().digest().copied()));
                }
                if event == Event::FrameEnd {
                    // The other direction is as good as before.
                    send_back(sender).await;
                }
            }
            let digest = |n: usize| Some(Sha256::digest(&frame.files[n].1));
            let expected = [
                (Outcome::Stored { size: 20_000 }, digest(0)),
                (Outcome::Failed("bad block"), None),
                (Outcome::Stored { size: 20_000 }, digest(2)),
                (Outcome::Stored { size: 20_000 }, digest(3)),
            ];
            assert_eq!(outcomes, expected);
            connection.close().await.unwrap();
        };
        join(server, send_for_an_answer(here, &frame)).await;
    });
}

// cases 61 and 62
#[test]
fn files_go_from_the_ring_into_a_page_that_is_slow_or_fails_and_are_received_by_a_future_that_is_dropped() {
    let frame = Frame {
        files: (0..3).map(|n| (vec![b'a' + n], bytes(n.into(), 3000))).collect(),
        ..Frame::default()
    };
    let digests: Vec<_> = frame.files.iter().map(|(_, data)| Sha256::digest(data)).collect();
    // What becomes of the files, with the digests of those that were stored, when a receive is dropped at this poll.
    let outcomes = |fails: bool, drop_at: u32| {
        let polls = Cell::new(0);
        let outcomes = RefCell::new(Vec::new());
        on_two_stacks(async |here, there, _| {
            let server = async {
                let buffers = leak(Buffers::<2048, 2048, 0, 256, 16>::new());
                let mut listener = Listener::new(there, PORT, buffers, CONFIG);
                let mut connection = listener.accept().await;
                let (receiver, sender) = connection.split();
                let mut store = Store::new(Digested::<_, Sha256>::new(Paged::new(fails)));
                loop {
                    let receive = store.receive(receiver, |event| event == Event::FrameEnd);
                    match drop_at_poll(&polls, drop_at, receive).await.map(Result::unwrap) {
                        None => {}
                        Some(None) => break,
                        Some(Some(Received::File(outcome))) => {
                            outcomes.borrow_mut().push((outcome, store.sink().digest().copied()));
                        }
                        Some(Some(Received::Event(false))) => {}
                        Some(Some(Received::Event(true))) => send_back(sender).await,
                    }
                }
                connection.close().await.unwrap();
            };
            join(server, send_for_an_answer(here, &frame)).await;
        });
        (outcomes.into_inner(), polls.get())
    };
    let stored = |n: usize| (Outcome::Stored { size: 3000 }, Some(digests[n]));
    let (outcome, polls) = outcomes(true, u32::MAX);
    assert_eq!(outcome, [stored(0), (Outcome::Failed("bad block"), None), stored(2)]);
    assert!(polls > 30, "nothing was waited for: {polls}");
    let mut cuts = 0;
    for drop_at in 1.. {
        let (outcome, polls) = outcomes(false, drop_at);
        if polls < drop_at {
            break;
        }
        let cut = outcome.iter().filter(|(outcome, _)| *outcome == Outcome::Interrupted).count();
        assert!(cut <= 1, "{outcome:?} at {drop_at}");
        cuts += cut;
        for (n, one) in outcome.iter().enumerate() {
            assert!(*one == (Outcome::Interrupted, None) || *one == stored(n), "{one:?} at {drop_at}");
        }
        assert_eq!(outcome.len(), 3, "at {drop_at}");
    }
    assert!(cuts > 30, "{cuts}");
}

// case 60
#[test]
fn a_hundred_thousand_connections_in_turn_leave_nothing_behind() {
    const TURNS: u32 = 100_000;
    on_two_stacks(async |here, there, _| {
        let served = Cell::new(0u32);
        let server = serve(there, PORT, leak([const { Small::new() }; 2]), CONFIG, async |mut connection| {
            if let Ok(Some(frame)) = receive(connection.split().0).await {
                assert_eq!(frame.message, served.get().to_be_bytes());
                served.set(served.get() + 1);
            }
            let _ = connection.close().await;
        });
        let client = async {
            let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
            let mut dialer = Dialer::new(here, (THERE, PORT), leak(Small::new()), CONFIG, backoff);
            for turn in 0..TURNS {
                let mut connection = dialer.redial(|_, _| {}).await;
                let _ = send(connection.split().1, &Frame::message(turn.to_be_bytes())).await;
                // In order, and not.
                if turn % 10 == 0 {
                    connection.split().1.flush().await.unwrap();
                } else {
                    connection.close().await.unwrap();
                }
            }
        };
        assert!(matches!(select(server, client).await, Either::Second(())));
        assert_eq!(served.get(), TURNS);
    });
}

// case 61
#[test]
fn a_write_that_is_dropped_at_any_poll_says_so_and_its_socket_serves_the_next() {
    let data = bytes(1, 3000);
    on_two_stacks(async |here, there, _| {
        let frames = Cell::new(0);
        let server = serve(there, PORT, leak([const { Small::new() }; 2]), CONFIG, async |mut connection| {
            while let Ok(Some(frame)) = receive(connection.split().0).await {
                assert!(frame == Frame::file("f", data.clone()));
                frames.set(frames.get() + 1);
            }
            let _ = connection.close().await;
        });
        let client = async {
            let mut dialer = dialer(here);
            for polls in 1.. {
                let mut connection = dialer.redial(|_, _| {}).await;
                let (_, sender) = connection.split();
                let frame = Frame::file("f", data.clone());
                let all = drop_after(polls, send(sender, &frame)).await;
                if let Some(sent) = all {
                    sent.unwrap();
                    connection.close().await.unwrap();
                    assert_eq!(frames.get(), 1);
                    assert!(polls > 3, "{polls} polls were enough for all");
                    break;
                }
                assert!(sender.is_interrupted());
                assert_eq!(sender.send_ping().await, Err(WriteError::Interrupted));
                assert!(connection.close().await.is_err());
                assert_eq!(frames.get(), 0);
            }
        };
        assert!(matches!(select(server, client).await, Either::Second(())));
    });
}

// case 61
#[test]
fn a_flush_or_an_end_of_the_stream_that_is_dropped_at_any_poll_leaves_a_connection_to_close() {
    // Fills the ring, with its frame.
    let data = bytes(1, 2048 - 18);
    on_two_stacks(async |here, there, wire| {
        let server = serve(there, PORT, leak([const { Small::new() }; 2]), CONFIG, async |mut connection| {
            while let Ok(Some(_)) = receive(connection.split().0).await {}
            let _ = connection.close().await;
        });
        let client = async {
            let mut dialer = dialer(here);
            for ends in [false, true] {
                for polls in 1.. {
                    let mut connection = dialer.redial(|_, _| {}).await;
                    // So that the ring stays full, and what follows has to wait.
                    wire.stall(Direction::There, Duration::from_millis(10));
                    send(connection.split().1, &Frame::message(&data)).await.unwrap();
                    connection.split().1.start_frame(Status::ZERO, 0).await.unwrap();
                    connection.split().1.start_message(0).await.unwrap();
                    let done = if ends {
                        drop_after(polls, connection.close_write()).await
                    } else {
                        drop_after(polls, connection.split().1.flush()).await
                    };
                    let interrupted = connection.split().1.is_interrupted();
                    assert_eq!(interrupted, done.is_none(), "{polls} polls");
                    let closed = connection.close().await;
                    assert_eq!(closed.is_err(), interrupted, "{closed:?}");
                    if let Some(done) = done {
                        done.unwrap();
                        assert!(polls > 1, "nothing was waited for");
                        break;
                    }
                }
            }
        };
        assert!(matches!(select(server, client).await, Either::Second(())));
    });
}

// case 61
#[test]
fn a_close_or_a_dial_that_is_dropped_at_any_poll_leaves_both_sockets_good() {
    on_two_stacks(async |here, there, _| {
        let server = serve(there, PORT, leak([const { Small::new() }; 2]), CONFIG, async |mut connection| {
            while let Ok(Some(frame)) = receive(connection.split().0).await {
                let _ = send(connection.split().1, &frame).await;
            }
            let _ = connection.close().await;
        });
        let client = async {
            let mut dialer = dialer(here);
            let (mut close_is_whole, mut dial_is_whole) = (false, false);
            let mut polls = 1;
            while !(close_is_whole && dial_is_whole) {
                dial_is_whole |= drop_after(polls, dialer.redial(|_, _| {})).await.is_some();
                let mut connection = dialer.redial(|_, _| {}).await;
                let (receiver, sender) = connection.split();
                send(sender, &Frame::message("echo")).await.unwrap();
                assert_eq!(receive(receiver).await.unwrap(), Some(Frame::message("echo")));
                close_is_whole |= drop_after(polls, connection.close()).await.is_some();
                polls += 1;
            }
            assert!(polls > 4, "{polls}");
        };
        assert!(matches!(select(server, client).await, Either::Second(())));
    });
}

/// Accepts a client, [exchanges](exchange) files with it, and says how the connection was closed.
async fn accept_and_exchange(
    stack: Stack<'static>,
    config: Config,
    data: &[u8],
    expected: &[u8],
) -> Result<(), CloseError> {
    let mut listener = Listener::new(stack, PORT, leak(Small::new()), config);
    let mut connection = listener.accept().await;
    exchange(&mut connection, data, expected).await;
    connection.close().await
}

/// Sends `data` as a file and receives one at the same time, which is `expected`.
async fn exchange(connection: &mut Connection<'_, '_>, data: &[u8], expected: &[u8]) {
    let (receiver, sender) = connection.split();
    let (sent, received) = join(send_data(sender, data), receive_digest(receiver)).await;
    sent.unwrap();
    assert_eq!(received, Sha256::digest(expected));
}

async fn send_data(sender: &mut Sender<'_, '_>, data: &[u8]) -> Result<(), WriteError<Error>> {
    sender.start_frame(Status::ZERO, 1).await?;
    send_file(sender, b"data", data).await.unwrap();
    sender.start_message(0).await?;
    sender.push().await
}

async fn receive_digest(receiver: &mut Receiver<'_, '_>) -> sha2::digest::Output<Sha256> {
    let mut hash = Sha256::new();
    loop {
        match receiver.next().await.unwrap().expect("a frame") {
            Event::FileData(piece) => hash.update(piece),
            Event::FrameEnd => return hash.finalize(),
            _ => {}
        }
    }
}

/// Sends `frame`, and takes what [`send_back`] sends.
async fn send_for_an_answer(stack: Stack<'static>, frame: &Frame) {
    let mut dialer = dialer(stack);
    let mut connection = dialer.redial(|_, _| {}).await;
    let (receiver, sender) = connection.split();
    send(sender, frame).await.unwrap();
    let answer = receive(receiver).await.unwrap().unwrap();
    assert!(answer == Frame::file("back", bytes(9, 10_000)));
    connection.close().await.unwrap();
}

async fn send_back(sender: &mut Sender<'_, '_>) {
    send(sender, &Frame::file("back", bytes(9, 10_000))).await.unwrap();
}

/// Returns when something more has come across.
async fn in_mid_frame(wire: &Wire) {
    let before = wire.carried();
    while wire.carried() < before + 50 {
        yield_now().await;
    }
}

/// The output of `future`, if it is ready within so many polls; it is dropped otherwise.
async fn drop_after<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|cx| {
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A flash that takes its time, and has a bad block in the second file.
#[derive(Default)]
struct Flaky {
    file: u32,
    written: usize,
}

impl FileSink for Flaky {
    type Error = &'static str;

    async fn start(&mut self, _: &[u8], _: u64) -> Result<(), StartError<&'static str>> {
        (self.file, self.written) = (self.file + 1, 0);
        Timer::after_millis(400).await;
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.written += bytes.len();
        Timer::after_millis(50).await;
        if self.file == 2 && self.written > 10_000 { Err("bad block") } else { Ok(()) }
    }

    async fn finish(&mut self) -> Result<(), &'static str> {
        Timer::after_secs(3).await;
        Ok(())
    }

    async fn abandon(&mut self) {
        Timer::after_millis(100).await;
    }
}

/// The output of `future`, unless it is pending at the poll of number `drop_at`, counted in `polls`: it is dropped then.
async fn drop_at_poll<F: Future>(polls: &Cell<u32>, drop_at: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        polls.set(polls.get() + 1);
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls.get() == drop_at => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A page of a flash that takes its time, and may have a bad block in the second file.
struct Paged {
    page: [u8; 256],
    filled: usize,
    fails: bool,
    file: u32,
    written: usize,
}

impl Paged {
    fn new(fails: bool) -> Self {
        Self { page: [0; 256], filled: 0, fails, file: 0, written: 0 }
    }

    async fn program(&mut self) -> Result<(), &'static str> {
        Timer::after_millis(20).await;
        self.written += self.filled;
        self.filled = 0;
        if self.fails && self.file == 2 && self.written > 1000 { Err("bad block") } else { Ok(()) }
    }
}

impl FileSink for Paged {
    type Error = &'static str;

    async fn start(&mut self, _: &[u8], _: u64) -> Result<(), StartError<&'static str>> {
        (self.file, self.filled, self.written) = (self.file + 1, 0, 0);
        Timer::after_millis(400).await;
        Ok(())
    }

    async fn write(&mut self, _: &[u8]) -> Result<(), &'static str> {
        panic!("bytes that were copied elsewhere before")
    }

    async fn finish(&mut self) -> Result<(), &'static str> {
        self.program().await?;
        assert_eq!(self.written, 3000);
        Ok(())
    }

    async fn abandon(&mut self) {
        Timer::after_millis(10).await;
    }
}

impl LendingSink for Paged {
    async fn space(&mut self) -> Result<&mut [u8], &'static str> {
        if self.filled == self.page.len() {
            self.program().await?;
        }
        Ok(&mut self.page[self.filled..])
    }

    fn commit(&mut self, n: usize) -> &[u8] {
        self.filled += n;
        &self.page[self.filled - n..self.filled]
    }
}

fn dialer(stack: Stack<'static>) -> Dialer<'static> {
    dialer_with(stack, CONFIG)
}

fn dialer_with(stack: Stack<'static>, config: Config) -> Dialer<'static> {
    let backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
    Dialer::new(stack, (THERE, PORT), leak(Small::new()), config, backoff)
}

type Small = Buffers<2048, 2048, 512, 256, 16>;
const PORT: u16 = 7077;
const CONFIG: Config = Config {
    idle_timeout: Some(Duration::from_secs(1200)),
    write_timeout: Some(Duration::from_secs(1200)),
    lost_timeout: Some(Duration::from_secs(30)),
    ..Config::DEFAULT
};
