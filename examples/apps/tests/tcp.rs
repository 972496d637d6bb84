//! The applications over two embassy-net stacks, as a board runs them.

use core::cell::Cell;

use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_net::tcp::TcpSocket;
use embassy_time::Duration;
use embedded_io_async::Write;
use sha2::{Digest, Sha256};
use tej_apps::{DeviceFile, DigestServer, GeneratedFile, Pattern, tcp};
use tej_embassy::{Backoff, Buffers, Config, Dialer, Listener};
use tej_testkit::{Frame, THERE, bytes, leak, on_two_stacks, receive, send};

#[test]
fn the_server_survives_garbage_and_serves_the_next_client() {
    on_two_stacks(async |here, there, _| {
        let connections = Cell::new(0);
        let server = tcp::serve_forever(
            there,
            7,
            Config::DEFAULT,
            leak(Buffers::<2048, 2048, 512, 512, 64>::new()),
            leak(DigestServer::<2048>::new()),
            || connections.set(connections.get() + 1),
        );
        let client = async {
            let mut socket = TcpSocket::new(here, leak([0; 1024]), leak([0; 1024]));
            while socket.connect((THERE, 7)).await.is_err() {
                yield_now().await;
            }
            socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            // The server's end of the stream, without an answer.
            assert_eq!(socket.read(&mut [0; 10]).await, Ok(0));
            socket.close();
            socket.flush().await.unwrap();

            let mut dialer = dialer(here);
            let mut connection = dialer.redial(|_, _| {}).await;
            let (receiver, sender) = connection.split();
            let data = bytes(1, 300_000);
            send(sender, &Frame { message: b"M".to_vec(), ..Frame::file("big.bin", data.clone()) })
                .await
                .unwrap();
            let answer = receive(receiver).await.unwrap().unwrap();
            let expected = format!("{} 300000 big.bin\nmessage {} 1\n", hex(&data), hex(b"M"));
            assert_eq!(String::from_utf8(answer.message).unwrap(), expected);
            connection.close().await.unwrap();
            while connections.get() < 2 {
                yield_now().await;
            }
        };
        assert!(matches!(select(server, client).await, Either::Second(())));
        assert_eq!(connections.get(), 2);
    });
}

#[test]
fn the_dialer_sends_its_file_again_after_every_lost_connection() {
    on_two_stacks(async |here, there, _| {
        let connections = Cell::new(0);
        let file = DeviceFile {
            file: GeneratedFile { seed: 9, size: 200_000 },
            ping_interval: Some(Duration::from_millis(5)),
            idle_timeout: None,
        };
        // The idle timeout here is the transport's, and must not end a connection to a peer that only receives.
        let config = Config { idle_timeout: Some(Duration::from_millis(1)), ..Config::DEFAULT };
        let device = tcp::dial_forever(
            here,
            (THERE, 7077),
            config,
            Backoff::new(Duration::from_millis(5), Duration::from_millis(20)),
            leak(Buffers::<2048, 2048, 512, 512, 64>::new()),
            file,
            || connections.set(connections.get() + 1),
        );
        let desktop = async {
            let buffers = leak(Buffers::<4096, 4096>::new());
            let mut listener = Listener::new(there, 7077, buffers, Config::DEFAULT);
            let mut expected = vec![0; 200_000];
            Pattern::new(9).fill(&mut expected);
            for n in 0..3 {
                let mut connection = listener.accept().await;
                let (receiver, _) = connection.split();
                let frame = receive(receiver).await.unwrap().unwrap();
                let message = format!("seed=9 size=200000 sha256={}", hex(&expected));
                assert_eq!(String::from_utf8(frame.message).unwrap(), message);
                assert!(frame.files == [(b"device.bin".to_vec(), expected.clone())]);
                assert_eq!(receive(receiver).await.unwrap(), Some(Frame { status: 2, ..Frame::default() }));
                // In order, and not.
                if n == 1 {
                    drop(connection);
                } else {
                    connection.close().await.unwrap();
                }
            }
            while connections.get() < 3 {
                yield_now().await;
            }
        };
        assert!(matches!(select(device, desktop).await, Either::Second(())));
    });
}

fn dialer(stack: embassy_net::Stack<'static>) -> Dialer<'static> {
    let backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(20));
    Dialer::new(stack, (THERE, 7), leak(Buffers::<2048, 2048>::new()), Config::DEFAULT, backoff)
}

fn hex(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}
