//! The adapter between two embassy-net stacks, as two devices would use it.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embassy_futures::join::{join, join3};
use embassy_futures::yield_now;
use embassy_net::Stack;
use embassy_net::tcp::{ConnectError, State, TcpSocket};
use embassy_time::{Duration, Timer};
use embedded_io_async::Write;
use sha2::{Digest, Sha256};
use tej_core::io::{ReadError, WriteError};
use tej_core::{DecodeErrorKind, Event, Limits, Status};
use tej_embassy::{Backoff, Buffers, CloseError, Config, Connection, Dialer, Error, Listener};
use tej_testkit::{Faults, Frame, THERE, bytes, leak, on_two_stacks, receive, send};

#[test]
fn a_4_mib_file_and_messages_go_both_ways() {
    let there = [
        Frame { status: 20, ..Frame::message("before") },
        Frame { message: b"with it".to_vec(), ..Frame::file("up.bin", bytes(1, 4 << 20)) },
        Frame::default(),
    ];
    let back = [
        Frame::file("down.bin", bytes(2, 4 << 20)),
        Frame { status: 127, ..Frame::message("Grüße") },
        Frame {
            files: vec![(b"empty".to_vec(), vec![]), (b"".to_vec(), b"nameless".to_vec())],
            ..Frame::default()
        },
    ];
    on_two_stacks(async |here, other, _| {
        let server = async {
            let mut listener = listener(other);
            let mut connection = listener.accept().await;
            let (receiver, sender) = connection.split();
            for frame in &there {
                assert_eq!(receive(receiver).await.unwrap().as_ref(), Some(frame));
            }
            for frame in &back {
                send(sender, frame).await.unwrap();
            }
            assert_eq!(receive(receiver).await, Ok(None));
            assert_eq!(connection.close().await, Ok(()));
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.connect().await.unwrap();
            let (receiver, sender) = connection.split();
            for frame in &there {
                send(sender, frame).await.unwrap();
            }
            for frame in &back {
                assert_eq!(receive(receiver).await.unwrap().as_ref(), Some(frame));
            }
            assert_eq!(connection.close().await, Ok(()));
        };
        join(server, client).await;
    });
}

#[test]
fn files_are_lent_in_pieces_of_the_read_buffer() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener =
                Listener::new(there, PORT, leak(Buffers::<4096, 4096, 100, 1, 0>::new()), CONFIG);
            let mut connection = listener.accept().await;
            let (receiver, _) = connection.split();
            let mut received = Vec::new();
            while let Some(event) = receiver.next().await.unwrap() {
                if let Event::FileData(piece) = event {
                    assert!(piece.len() <= 100);
                    received.extend_from_slice(piece);
                }
            }
            assert!(received == bytes(3, 100_000));
            assert_eq!(connection.close().await, Ok(()));
        };
        join(server, send_and_close(here, Frame::file("", bytes(3, 100_000)))).await;
    });
}

#[test]
fn files_are_received_on_the_socket_s_own_ring_without_a_read_buffer() {
    let frame = Frame { message: bytes(4, 500), ..Frame::file("ring.bin", bytes(3, 300_000)) };
    on_two_stacks(async |here, there, wire| {
        let server = async {
            let buffers = leak(Buffers::<4096, 4096, 0, 64, 16>::new());
            let mut listener = Listener::new(there, PORT, buffers, CONFIG);
            let mut connection = listener.accept().await;
            let (receiver, sender) = connection.split();
            let (mut received, mut longest) = (Frame::default(), 0);
            loop {
                // Dropped at every other poll: nothing is lost, and nothing comes twice.
                let mut take = |event: Event<'_>| {
                    match event {
                        Event::FileStart { name, .. } => received.files.push((name.to_vec(), vec![])),
                        Event::FileData(data) => {
                            longest = longest.max(data.len());
                            received.files[0].1.extend_from_slice(data);
                        }
                        Event::MessageData(data) => received.message.extend_from_slice(data),
                        _ => {}
                    }
                    matches!(event, Event::FrameEnd)
                };
                let next = poll_fn(|cx| Poll::Ready(pin!(receiver.next_with(&mut take)).poll(cx))).await;
                match next {
                    Poll::Pending => yield_now().await,
                    Poll::Ready(frame_ended) => match frame_ended.unwrap() {
                        Some(false) => {}
                        // The other half goes on.
                        Some(true) => send(sender, &Frame::message("got it")).await.unwrap(),
                        None => break,
                    },
                }
            }
            assert!(received == frame);
            assert!(longest > 1000, "pieces of {longest} bytes are no ring");
            assert_eq!(receiver.next_with(|_| ()).await, Ok(None));
            connection.close().await.unwrap();
            // A reset is told from an end, and silence from both.
            let mut connection = listener.accept().await;
            let (receiver, _) = connection.split();
            receiver.io_mut().set_idle_timeout(Some(Duration::from_secs(1)));
            assert_eq!(receiver.next_with(|_| ()).await, Err(ReadError::Io(Error::IdleTimeout)));
            receiver.io_mut().set_idle_timeout(None);
            assert_eq!(receiver.next_with(|_| ()).await, Err(ReadError::Io(Error::ConnectionReset)));
        };
        let client = async {
            wire.set_faults(Faults { lost: 20, ..Faults::NONE });
            let mut dialer = dialer(here);
            let mut connection = connect(&mut dialer).await;
            let (receiver, sender) = connection.split();
            send(sender, &frame).await.unwrap();
            assert_eq!(receive(receiver).await.unwrap(), Some(Frame::message("got it")));
            connection.close().await.unwrap();
            wire.set_faults(Faults::NONE);
            let connection = dialer.connect().await.unwrap();
            Timer::after_secs(2).await;
            drop(connection);
            yield_for_a_while().await;
        };
        join(server, client).await;
    });
}

#[test]
fn heads_leave_in_one_segment_with_what_follows_them_and_at_once() {
    let frames = [
        Frame::message("hi"),
        Frame { message: b"with it".to_vec(), ..Frame::file("small", bytes(1, 500)) },
        Frame { files: vec![(vec![b'n'; 200], bytes(2, 50)); 2], ..Frame::default() },
    ];
    on_two_stacks(async |here, there, wire| {
        let mut listener = listener(there);
        let mut dialer = dialer(here);
        let (mut server, mut client) = join(listener.accept(), connect(&mut dialer)).await;
        for frame in &frames {
            yield_for_a_while().await;
            let before = wire.carried();
            for sent in 1..=2 {
                send(client.split().1, frame).await.unwrap();
                // Before anything is acknowledged, for which Nagle's algorithm would wait.
                Timer::after_millis(1).await;
                assert_eq!(wire.carried() - before, sent);
            }
            for _ in 0..2 {
                assert_eq!(receive(server.split().0).await.unwrap().as_ref(), Some(frame));
            }
        }
    });
}

#[test]
fn two_peers_that_both_push_first_do_not_deadlock() {
    // Nothing of a frame of 1 MiB finds room on the way, in 1 KiB rings, if the other side does not read.
    async fn push_and_receive(mut connection: Connection<'_, '_>, seed: u32, peer_seed: u32) {
        let frame = Frame::file("push.bin", bytes(seed, 1 << 20));
        let (receiver, sender) = connection.split();
        let (sent, received) = join(send(sender, &frame), receive(receiver)).await;
        sent.unwrap();
        assert!(received.unwrap().unwrap() == Frame::file("push.bin", bytes(peer_seed, 1 << 20)));
        assert_eq!(connection.close().await, Ok(()));
    }
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener =
                Listener::new(there, PORT, leak(Buffers::<1024, 1024, 512, 256, 64>::new()), CONFIG);
            push_and_receive(listener.accept().await, 5, 6).await;
        };
        let client = async {
            let mut dialer = Dialer::new(
                here,
                (THERE, PORT),
                leak(Buffers::<1024, 1024, 512, 256, 64>::new()),
                CONFIG,
                Backoff::DEFAULT,
            );
            push_and_receive(dialer.connect().await.unwrap(), 6, 5).await;
        };
        join(server, client).await;
    });
}

#[test]
fn garbage_is_a_typed_error_and_the_next_client_is_served() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = listener(there);
            let mut connection = listener.accept().await;
            let (receiver, sender) = connection.split();
            // The good frame before the garbage is delivered, and answered.
            assert_eq!(receive(receiver).await.unwrap(), Some(Frame::message("good")));
            send(sender, &Frame::message("answer")).await.unwrap();
            let Err(ReadError::Decode(error)) = receive(receiver).await else {
                panic!("garbage was taken for a frame")
            };
            assert_eq!(
                (error.kind, error.value, error.offset),
                (DecodeErrorKind::BadStartBit, u64::from(b'G'), 22)
            );
            assert_eq!(receive(receiver).await, Err(ReadError::Decode(error)));
            assert_eq!(connection.close().await, Ok(()));

            let mut connection = listener.accept().await;
            let (receiver, _) = connection.split();
            assert_eq!(receive(receiver).await.unwrap(), Some(Frame::message("next")));
            assert_eq!(connection.close().await, Ok(()));
        };
        let client = async {
            let mut socket = plain_client(here).await;
            socket.write_all(b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04good").await.unwrap();
            socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let answer = read_to_end(&mut socket).await;
            assert_eq!(answer, Ok(b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x06answer".to_vec()));
            socket.close();
            socket.flush().await.unwrap();
            drop(socket);
            send_and_close(here, Frame::message("next")).await;
        };
        join(server, client).await;
    });
}

#[test]
fn limits_are_checked_and_typed() {
    const LIMITS: Limits = Limits { file: 1000, ..Limits::DEFAULT };
    on_two_stacks(async |here, there, _| {
        let server = async {
            let config = Config { limits: &LIMITS, ..CONFIG };
            let mut listener =
                Listener::new(there, PORT, leak(Buffers::<2048, 2048, 64, 64, 8>::new()), config);
            for expected in [DecodeErrorKind::FileTooLong, DecodeErrorKind::NameTooLong] {
                let mut connection = listener.accept().await;
                let result = receive(connection.split().0).await;
                assert!(
                    matches!(result, Err(ReadError::Decode(error)) if error.kind == expected),
                    "{result:?}"
                );
                let _ = connection.close().await;
            }
        };
        let client = async {
            for (name, size) in [("short", 1001), ("a longer name", 1)] {
                let mut dialer = dialer(here);
                let mut connection = connect(&mut dialer).await;
                send(connection.split().1, &Frame::file(name, vec![0; size])).await.unwrap();
                let _ = connection.close().await;
            }
        };
        join(server, client).await;
    });
}

// case 57
#[test]
fn a_silent_peer_hits_the_idle_timeout_and_its_socket_is_free_again() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let config = Config { idle_timeout: Some(Duration::from_millis(50)), ..CONFIG };
            let mut listener = Listener::new(there, PORT, leak(Buffers::<2048, 2048>::new()), config);
            let mut connection = listener.accept().await;
            let (receiver, _) = connection.split();
            assert_eq!(receive(receiver).await, Err(ReadError::Io(Error::IdleTimeout)));
            // It is no fault of the stream: the receiver goes on where it was.
            assert_eq!(receive(receiver).await, Err(ReadError::Io(Error::IdleTimeout)));
            let _ = connection.close().await;

            let mut connection = listener.accept().await;
            let (receiver, _) = connection.split();
            receiver.io_mut().set_idle_timeout(None);
            assert_eq!(receive(receiver).await.unwrap(), Some(Frame::message("talkative")));
            let _ = connection.close().await;
        };
        let client = async {
            // Half a head, then silence until the server closes.
            let mut socket = plain_client(here).await;
            socket.write_all(b"\x80\x01\0\0").await.unwrap();
            assert_eq!(read_to_end(&mut socket).await, Ok(vec![]));
            socket.close();
            socket.flush().await.unwrap();
            drop(socket);
            send_and_close(here, Frame::message("talkative")).await;
        };
        join(server, client).await;
    });
}

#[test]
fn every_byte_counts_as_life() {
    let frame = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02ok";
    on_two_stacks(async |here, there, _| {
        let server = async {
            let config = Config { idle_timeout: Some(Duration::from_millis(800)), ..CONFIG };
            let mut listener = Listener::new(there, PORT, leak(Buffers::<2048, 2048>::new()), config);
            let mut connection = listener.accept().await;
            assert_eq!(receive(connection.split().0).await.unwrap(), Some(Frame::message("ok")));
            let _ = connection.close().await;
        };
        let client = async {
            let mut socket = plain_client(here).await;
            for byte in frame {
                socket.write_all(&[*byte]).await.unwrap();
                Timer::after_millis(80).await;
            }
            assert_eq!(read_to_end(&mut socket).await, Ok(vec![]));
            socket.close();
            socket.flush().await.unwrap();
        };
        join(server, client).await;
    });
}

#[test]
fn close_delivers_everything_that_was_sent() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = listener(there);
            let mut connection = listener.accept().await;
            let (receiver, _) = connection.split();
            let mut received = 0;
            while let Some(frame) = receive(receiver).await.unwrap() {
                assert_eq!(frame.message, bytes(received, 300));
                received += 1;
                // Slower than the sender, whose rings are full when it closes.
                yield_now().await;
            }
            assert_eq!(received, 200);
            assert_eq!(connection.close().await, Ok(()));
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.connect().await.unwrap();
            let (_, sender) = connection.split();
            for n in 0..200 {
                // Not pushed: the end of it is still staged when the connection is closed.
                sender.start_frame(Status::ZERO, 0).await.unwrap();
                sender.start_message(300).await.unwrap();
                sender.write_payload(&bytes(n, 300)).await.unwrap();
            }
            assert_eq!(connection.close().await, Ok(()));
        };
        join(server, client).await;
    });
}

#[test]
fn close_drains_a_peer_that_pushes_before_it_reads() {
    let sent = Frame::message(bytes(9, 3000));
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = listener(there);
            let mut connection = listener.accept().await;
            send(connection.split().1, &sent).await.unwrap();
            assert_eq!(connection.close().await, Ok(()));
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.connect().await.unwrap();
            let (receiver, sender) = connection.split();
            // Far more than all rings hold, to a peer that is closing.
            send(sender, &Frame::file("long", bytes(10, 1 << 20))).await.unwrap();
            assert_eq!(receive(receiver).await.unwrap().as_ref(), Some(&sent));
            assert_eq!(receive(receiver).await, Ok(None));
            assert_eq!(connection.close().await, Ok(()));
        };
        join(server, client).await;
    });
}

#[test]
fn close_does_not_wait_for_ever_for_a_peer_that_goes_on() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = hasty_listener(there);
            let mut connection = listener.accept().await;
            send(connection.split().1, &Frame::message("bye")).await.unwrap();
            // All of it arrived, so it is a success, although the peer has to be reset.
            assert_eq!(connection.close().await, Ok(()));
            serve_one(&mut listener).await;
        };
        let client = async {
            let mut socket = plain_client(here).await;
            let mut received = [0; 21];
            embedded_io_async::Read::read_exact(&mut socket, &mut received).await.unwrap();
            assert_eq!(&received[18..], b"bye");
            // Sends without an end, until the reset comes.
            while socket.write_all(&[0; 1000]).await.is_ok() {}
            drop(socket);
            send_and_close(here, Frame::message("next")).await;
        };
        join(server, client).await;
    });
}

#[test]
fn close_reports_what_a_peer_never_took() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = hasty_listener(there);
            let mut connection = listener.accept().await;
            let (_, sender) = connection.split();
            sender.start_frame(Status::ZERO, 0).await.unwrap();
            sender.start_message(3000).await.unwrap();
            // Fits in this side's rings, but not in the peer's.
            sender.write_payload(&bytes(1, 3000)).await.unwrap();
            assert_eq!(connection.close().await, Err(CloseError::TimedOut));
            serve_one(&mut listener).await;
        };
        let client = async {
            let mut socket = TcpSocket::new(here, leak([0; 512]), leak([0; 512]));
            socket.connect((THERE, PORT)).await.unwrap();
            // Never reads, and notices the reset when it writes.
            while socket.write_all(b"?").await.is_ok() {
                Timer::after_millis(5).await;
            }
            drop(socket);
            send_and_close(here, Frame::message("next")).await;
        };
        join(server, client).await;
    });
}

#[test]
fn close_reports_a_reset() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = listener(there);
            let mut connection = listener.accept().await;
            assert_eq!(receive(connection.split().0).await, Err(ReadError::Io(Error::ConnectionReset)));
            let (_, sender) = connection.split();
            assert_eq!(
                send(sender, &Frame::message("too late")).await,
                Err(WriteError::Io(Error::ConnectionReset))
            );
            assert_eq!(connection.close().await, Err(CloseError::Write(WriteError::Interrupted)));
        };
        let client = async {
            let mut dialer = dialer(here);
            drop(dialer.connect().await.unwrap());
            // The dialer lives on, so that its stack can send the reset.
            yield_for_a_while().await;
        };
        join(server, client).await;
    });
}

#[test]
fn a_reset_is_no_orderly_close_even_if_nothing_was_to_be_sent() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = listener(there);
            let connection = listener.accept().await;
            yield_for_a_while().await;
            assert_eq!(connection.close().await, Err(CloseError::ConnectionReset));
        };
        let client = async {
            let mut dialer = dialer(here);
            drop(connect(&mut dialer).await);
            yield_for_a_while().await;
        };
        join(server, client).await;
    });
}

#[test]
fn a_dropped_connection_is_reset_although_its_socket_is_used_again_at_once() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = listener(there);
            drop(listener.accept().await);
            serve_one(&mut listener).await;
        };
        let client = async {
            // Without the reset it would wait for ever.
            let config = Config { idle_timeout: None, lost_timeout: None, ..CONFIG };
            let buffers = leak(Buffers::<2048, 2048>::new());
            let mut dialer = Dialer::new(here, (THERE, PORT), buffers, config, Backoff::DEFAULT);
            let mut connection = connect(&mut dialer).await;
            assert_eq!(receive(connection.split().0).await, Err(ReadError::Io(Error::ConnectionReset)));
            send_and_close(here, Frame::message("next")).await;
        };
        join(server, client).await;
    });
}

#[test]
fn a_close_after_both_directions_have_ended_succeeds() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = listener(there);
            let mut connection = listener.accept().await;
            let (receiver, _) = connection.split();
            assert_eq!(receive(receiver).await.unwrap(), Some(Frame::message("question")));
            // The client has half-closed, and still gets its answer.
            assert_eq!(receive(receiver).await, Ok(None));
            send(connection.split().1, &Frame::message("answer")).await.unwrap();
            connection.close_write().await.unwrap();
            // Now everything is over, long before the close.
            yield_for_a_while().await;
            assert_eq!(connection.close().await, Ok(()));
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.connect().await.unwrap();
            send(connection.split().1, &Frame::message("question")).await.unwrap();
            connection.close_write().await.unwrap();
            let (receiver, sender) = connection.split();
            assert_eq!(receive(receiver).await.unwrap(), Some(Frame::message("answer")));
            assert_eq!(receive(receiver).await, Ok(None));
            assert_eq!(sender.send_ping().await, Err(WriteError::Io(Error::ConnectionReset)));
            drop(connection);
            // The dialer lives on, so that its stack can acknowledge the server's last segment.
            yield_for_a_while().await;
        };
        join(server, client).await;
    });
}

// case 56
#[test]
fn a_peer_that_never_reads_hits_the_write_timeout() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = hasty_listener(there);
            let mut connection = listener.accept().await;
            let (_, sender) = connection.split();
            let frame = Frame::message(bytes(1, 100_000));
            assert_eq!(send(sender, &frame).await, Err(WriteError::Io(Error::WriteTimeout)));
            assert_eq!(send(sender, &frame).await, Err(WriteError::Interrupted));
            drop(connection);
            serve_one(&mut listener).await;
        };
        let client = async {
            let mut socket = plain_client(here).await;
            while socket.write_all(b"?").await.is_ok() {
                Timer::after_millis(5).await;
            }
            drop(socket);
            send_and_close(here, Frame::message("next")).await;
        };
        join(server, client).await;
    });
}

#[test]
fn ending_the_stream_does_not_wait_for_ever_for_a_peer_that_never_reads() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = hasty_listener(there);
            let mut connection = listener.accept().await;
            // The client has ended its direction, and takes no more than its window.
            assert_eq!(receive(connection.split().0).await, Ok(None));
            send(connection.split().1, &Frame::message(bytes(1, 3000))).await.unwrap();
            assert_eq!(connection.close_write().await, Err(WriteError::Io(Error::WriteTimeout)));
            drop(connection);
            serve_one(&mut listener).await;
        };
        let client = async {
            let mut socket = plain_client(here).await;
            socket.close();
            while socket.state() != State::Closed {
                Timer::after_millis(5).await;
            }
            send_and_close(here, Frame::message("next")).await;
        };
        join(server, client).await;
    });
}

#[test]
fn a_flush_is_patient_with_a_peer_that_reads_slowly() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let config = Config { write_timeout: Some(Duration::from_secs(1)), ..CONFIG };
            let mut listener = Listener::new(there, PORT, leak(Buffers::<2048, 8192>::new()), config);
            let mut connection = listener.accept().await;
            let (_, sender) = connection.split();
            send(sender, &Frame::message(bytes(1, 8000))).await.unwrap();
            // It takes more than twice the timeout in all, but never so long for one step.
            assert_eq!(sender.flush().await, Ok(()));
            connection.close().await.unwrap();
        };
        let client = async {
            let mut socket = TcpSocket::new(here, leak([0; 1024]), leak([0; 1024]));
            while socket.connect((THERE, PORT)).await.is_err() {
                yield_now().await;
            }
            let mut buffer = [0; 512];
            while socket.read(&mut buffer).await.unwrap() > 0 {
                Timer::after_millis(150).await;
            }
            socket.close();
            socket.flush().await.unwrap();
        };
        join(server, client).await;
    });
}

// case 57
#[test]
fn a_handshake_that_is_never_finished_does_not_hold_the_socket() {
    on_two_stacks(async |here, there, wire| {
        let server = async {
            let config = Config { connect_timeout: Duration::from_secs(1), ..CONFIG };
            let mut listener = Listener::new(there, PORT, leak(Buffers::<2048, 2048>::new()), config);
            serve_one(&mut listener).await;
        };
        let client = async {
            // A connect that is cut off after its SYN, by a client of which nothing is ever heard again.
            let mut socket = TcpSocket::new(here, leak([0; 64]), leak([0; 64]));
            let connecting =
                poll_fn(|cx| Poll::Ready(pin!(socket.connect((THERE, PORT))).poll(cx).is_pending()));
            assert!(connecting.await);
            wire.lose_all_to(socket.local_endpoint().unwrap().port);
            yield_for_a_while().await;
            assert_eq!(socket.state(), State::SynSent);
            // Refused as long as the listener waits for the other.
            assert_eq!(dialer(here).connect().await.err(), Some(ConnectError::ConnectionReset));
            drop(socket);
            send_and_close(here, Frame::message("next")).await;
        };
        join(server, client).await;
    });
}

#[test]
fn lost_frames_change_nothing() {
    on_two_stacks(async |here, there, wire| {
        let server = async {
            let mut listener = listener(there);
            let mut connection = listener.accept().await;
            let mut hash = Sha256::new();
            let (receiver, _) = connection.split();
            while let Some(event) = receiver.next().await.unwrap() {
                if let Event::FileData(piece) = event {
                    hash.update(piece);
                }
            }
            assert_eq!(hash.finalize(), Sha256::digest(bytes(12, 128 << 10)));
            // The last acknowledgement may be lost too, so the result says nothing here.
            let _ = connection.close().await;
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = connect(&mut dialer).await;
            wire.set_faults(Faults { lost: 40, ..Faults::NONE });
            send(connection.split().1, &Frame::file("lossy.bin", bytes(12, 128 << 10))).await.unwrap();
            let _ = connection.close().await;
        };
        join(server, client).await;
    });
}

#[test]
fn a_vanished_peer_is_given_up_and_a_quiet_one_is_not() {
    on_two_stacks(async |here, there, wire| {
        let config = Config { lost_timeout: Some(Duration::from_secs(3)), idle_timeout: None, ..CONFIG };
        let server = async {
            let mut listener = Listener::new(there, PORT, leak(Buffers::<2048, 2048>::new()), config);
            let mut connection = listener.accept().await;
            let (receiver, _) = connection.split();
            assert_eq!(receive(receiver).await.unwrap(), Some(Frame::message("still here")));
            assert_eq!(receive(receiver).await, Err(ReadError::Io(Error::ConnectionReset)));
        };
        let client = async {
            let mut dialer = dialer(here);
            let mut connection = dialer.connect().await.unwrap();
            Timer::after_secs(4).await;
            let (_, sender) = connection.split();
            send(sender, &Frame::message("still here")).await.unwrap();
            sender.flush().await.unwrap();
            wire.set_faults(Faults { lost: 1000, ..Faults::NONE });
            core::mem::forget(connection);
        };
        join(server, client).await;
    });
}

// case 58
#[test]
fn listeners_share_a_port_and_one_client_more_is_refused_until_a_socket_is_free() {
    on_two_stacks(async |here, there, _| {
        let serve = async || {
            let mut listener = listener(there);
            loop {
                let mut connection = listener.accept().await;
                let (receiver, sender) = connection.split();
                while let Some(frame) = receive(receiver).await.unwrap() {
                    send(sender, &frame).await.unwrap();
                }
                connection.close().await.unwrap();
            }
        };
        let clients = async {
            let (mut first, mut second, mut third) = (dialer(here), dialer(here), dialer(here));
            let mut one = connect(&mut first).await;
            let mut two = connect(&mut second).await;
            assert_eq!(third.connect().await.err(), Some(ConnectError::ConnectionReset));
            for connection in [&mut one, &mut two] {
                let (receiver, sender) = connection.split();
                send(sender, &Frame::message("at once")).await.unwrap();
                assert_eq!(receive(receiver).await.unwrap(), Some(Frame::message("at once")));
            }
            one.close().await.unwrap();
            let three = connect(&mut third).await;
            three.close().await.unwrap();
            two.close().await.unwrap();
        };
        embassy_futures::select::select3(serve(), serve(), clients).await;
    });
}

// case 61
#[test]
fn an_accept_that_is_dropped_at_every_poll_loses_no_client() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = listener(there);
            while poll_fn(|cx| {
                Poll::Ready(pin!(listener.accept()).poll(cx).map(core::mem::forget).is_pending())
            })
            .await
            {
                yield_now().await;
            }
            // Forgotten above, so that it was not reset: the next call returns the connection that there is.
            let mut connection = listener.accept().await;
            assert_eq!(receive(connection.split().0).await.unwrap(), Some(Frame::message("patient")));
            connection.close().await.unwrap();
        };
        join(server, send_and_close(here, Frame::message("patient"))).await;
    });
}

// case 61
#[test]
fn a_receive_that_is_dropped_at_every_poll_loses_nothing() {
    let frame = Frame { message: bytes(4, 500), ..Frame::file("cut.bin", bytes(3, 20_000)) };
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = listener(there);
            let mut connection = listener.accept().await;
            let (receiver, _) = connection.split();
            let mut received = Frame::default();
            loop {
                let ended = poll_fn(|cx| match pin!(receiver.next()).poll(cx) {
                    Poll::Pending => Poll::Ready(false),
                    Poll::Ready(event) => Poll::Ready(match event.unwrap() {
                        Some(Event::FileStart { name, .. }) => {
                            received.files.push((name.to_vec(), vec![]));
                            false
                        }
                        Some(Event::FileData(data)) => {
                            received.files[0].1.extend_from_slice(data);
                            false
                        }
                        Some(Event::MessageData(data)) => {
                            received.message.extend_from_slice(data);
                            false
                        }
                        event => event.is_none(),
                    }),
                })
                .await;
                if ended {
                    break;
                }
                yield_now().await;
            }
            assert!(received == frame);
            connection.close().await.unwrap();
        };
        join(server, send_and_close(here, frame.clone())).await;
    });
}

#[test]
fn redial_goes_on_until_somebody_listens() {
    on_two_stacks(async |here, there, _| {
        let failures = core::cell::RefCell::new(Vec::new());
        let client = async {
            let backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(20));
            let mut dialer =
                Dialer::new(here, (THERE, PORT), leak(Buffers::<2048, 2048>::new()), CONFIG, backoff);
            for n in 0..2 {
                let observe = |error, delay| failures.borrow_mut().push((error, delay));
                let mut connection = dialer.redial(observe).await;
                send(connection.split().1, &Frame::message(bytes(n, 10))).await.unwrap();
                connection.close().await.unwrap();
            }
        };
        let server = async {
            while failures.borrow().len() < 4 {
                yield_now().await;
            }
            let mut listener = listener(there);
            for n in 0..2 {
                let mut connection = listener.accept().await;
                assert_eq!(receive(connection.split().0).await.unwrap(), Some(Frame::message(bytes(n, 10))));
                connection.close().await.unwrap();
            }
        };
        join(client, server).await;
        let failures = failures.into_inner();
        let expected = [5, 10, 20, 20].map(|ms| (ConnectError::ConnectionReset, Duration::from_millis(ms)));
        assert_eq!(failures[..4], expected);
    });
}

#[test]
fn the_back_off_is_for_failures_and_short_connections_alone() {
    on_two_stacks(async |here, there, _| {
        let failures = core::cell::RefCell::new(Vec::new());
        let client = async {
            let backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(80));
            let buffers = leak(Buffers::<2048, 2048>::new());
            let mut dialer = Dialer::new(here, (THERE, PORT), buffers, CONFIG, backoff);
            for lasts in [100, 0, 0] {
                let mut connection =
                    dialer.redial(|_, delay| failures.borrow_mut().push(delay.as_millis())).await;
                Timer::after_millis(lasts).await;
                send(connection.split().1, &Frame::message("next")).await.unwrap();
                connection.close().await.unwrap();
            }
        };
        let server = async {
            for failures_before in [3, 4, 5] {
                while failures.borrow().len() < failures_before {
                    yield_now().await;
                }
                // Refuses again when it is dropped.
                serve_one(&mut listener(there)).await;
            }
        };
        join(client, server).await;
        // Three failures; a connection that lasted, so from the start; a short one, which costs the 20.
        assert_eq!(failures.into_inner(), [10, 20, 40, 10, 40]);
    });
}

#[test]
fn a_connect_that_cannot_succeed_says_why() {
    on_two_stacks(async |here, _, _| {
        let config = Config { connect_timeout: Duration::from_millis(50), ..CONFIG };
        let try_to = async |remote: (embassy_net::Ipv4Address, u16)| {
            let buffers = leak(Buffers::<2048, 2048>::new());
            let mut dialer = Dialer::new(here, remote, buffers, config, Backoff::DEFAULT);
            let first = dialer.connect().await.err();
            // The failure leaves nothing behind: the next attempt fares the same.
            assert_eq!(dialer.connect().await.err(), first);
            first
        };
        assert_eq!(try_to((THERE, PORT)).await, Some(ConnectError::ConnectionReset));
        assert_eq!(
            try_to((embassy_net::Ipv4Address::new(10, 9, 0, 77), PORT)).await,
            Some(ConnectError::TimedOut)
        );
        assert_eq!(try_to((THERE, 0)).await, Some(ConnectError::NoRoute));
    });
}

#[test]
fn a_connect_that_is_dropped_can_be_repeated() {
    on_two_stacks(async |here, there, _| {
        let client = async {
            let mut dialer = dialer(here);
            for _ in 0..5 {
                // Started, and given up at once.
                assert!(poll_fn(|cx| Poll::Ready(pin!(dialer.connect()).poll(cx).is_pending())).await);
            }
            let mut connection = dialer.redial(|_, _| {}).await;
            send(connection.split().1, &Frame::message("at last")).await.unwrap();
            connection.close().await.unwrap();
        };
        let server = async {
            let mut listener = listener(there);
            loop {
                let mut connection = listener.accept().await;
                // Attempts that were given up may show as connections without a frame.
                if let Ok(Some(frame)) = receive(connection.split().0).await {
                    assert_eq!(frame, Frame::message("at last"));
                    connection.close().await.unwrap();
                    break;
                }
            }
        };
        join(client, server).await;
    });
}

#[test]
fn a_hundred_connections_in_turn_leave_nothing_behind() {
    on_two_stacks(async |here, there, _| {
        let server = async {
            let mut listener = listener(there);
            for n in 0..100 {
                let mut connection = listener.accept().await;
                assert_eq!(receive(connection.split().0).await.unwrap(), Some(Frame::message(bytes(n, 5))));
                // In order, and not.
                if n % 2 == 0 {
                    connection.close().await.unwrap();
                }
            }
        };
        let client = async {
            let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
            let mut dialer =
                Dialer::new(here, (THERE, PORT), leak(Buffers::<2048, 2048>::new()), CONFIG, backoff);
            for n in 0..100 {
                let mut connection = dialer.redial(|_, _| {}).await;
                send(connection.split().1, &Frame::message(bytes(n, 5))).await.unwrap();
                let _ = connection.close().await;
            }
        };
        join3(server, client, async {}).await;
    });
}

/// Fails rather than waits for ever, and otherwise is the default.
const CONFIG: Config = Config {
    idle_timeout: Some(Duration::from_secs(40)),
    close_timeout: Duration::from_secs(40),
    ..Config::DEFAULT
};
const PORT: u16 = 7077;

fn listener(stack: Stack<'static>) -> Listener<'static> {
    Listener::new(stack, PORT, leak(Buffers::<4096, 4096, 1024, 1460, 255>::new()), CONFIG)
}

/// Loses patience soon, for tests of peers that make it wait.
fn hasty_listener(stack: Stack<'static>) -> Listener<'static> {
    let soon = Duration::from_millis(300);
    let config = Config { close_timeout: soon, write_timeout: Some(soon), ..CONFIG };
    Listener::new(stack, PORT, leak(Buffers::<4096, 4096, 1024, 1460, 255>::new()), config)
}

fn dialer(stack: Stack<'static>) -> Dialer<'static> {
    let buffers = leak(Buffers::<4096, 4096, 1024, 1460, 255>::new());
    Dialer::new(stack, (THERE, PORT), buffers, CONFIG, Backoff::DEFAULT)
}

/// Connects, once the other side listens.
async fn connect<'c>(dialer: &'c mut Dialer<'static>) -> Connection<'c, 'static> {
    dialer.redial(|_, _| {}).await
}

async fn send_and_close(stack: Stack<'static>, frame: Frame) {
    let mut dialer = dialer(stack);
    let mut connection = connect(&mut dialer).await;
    send(connection.split().1, &frame).await.unwrap();
    assert_eq!(connection.close().await, Ok(()));
}

async fn serve_one(listener: &mut Listener<'static>) {
    let mut connection = listener.accept().await;
    assert_eq!(receive(connection.split().0).await.unwrap(), Some(Frame::message("next")));
    assert_eq!(connection.close().await, Ok(()));
}

/// A client that is no TEJ peer.
async fn plain_client(stack: Stack<'static>) -> TcpSocket<'static> {
    let mut socket = TcpSocket::new(stack, leak([0; 1024]), leak([0; 1024]));
    while socket.connect((THERE, PORT)).await.is_err() {
        yield_now().await;
    }
    socket
}

async fn read_to_end(socket: &mut TcpSocket<'static>) -> Result<Vec<u8>, embassy_net::tcp::Error> {
    let mut received = Vec::new();
    let mut buffer = [0; 100];
    loop {
        match socket.read(&mut buffer).await? {
            0 => return Ok(received),
            n => received.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Long enough for everything that is on its way to arrive.
async fn yield_for_a_while() {
    Timer::after_millis(200).await;
}
