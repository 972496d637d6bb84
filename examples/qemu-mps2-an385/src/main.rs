//! Firmware for QEMU's `mps2-an385`: serves whoever calls, and calls the peer that the command line names.
//!
//! What it does is in the crate `tej-apps`, what the board needs is in `mps2`; here they meet.
#![no_std]
#![no_main]

mod board;
mod faults;
mod interrupts;

use core::net::SocketAddrV4;

use embassy_executor::Spawner;
use embassy_net::{Stack, StackResources};
use embassy_time::Duration;
use mps2::lan9118::SAFE_RECEIVE_WINDOW;
use static_cell::ConstStaticCell;
use tej_apps::{DeviceFile, DigestServer, tcp};
use tej_embassy::{Backoff, Buffers, Config};

use crate::board::Board;

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static SOCKETS: ConstStaticCell<StackResources<{ CLIENTS + 1 }>> =
        ConstStaticCell::new(StackResources::new());
    static SERVERS: ConstStaticCell<[Server; CLIENTS]> =
        ConstStaticCell::new([const { Server::new() }; CLIENTS]);
    static DIALER: ConstStaticCell<DialerBuffers> = ConstStaticCell::new(Buffers::new());

    let board = match Board::start(spawner, SOCKETS.take()) {
        Ok(board) => board,
        Err(error) => defmt::panic!("board: {}", error),
    };
    for server in SERVERS.take() {
        spawner.spawn(defmt::unwrap!(serve(board.stack, server)));
    }
    if let Some(peer) = board.arguments.peer {
        let file = DeviceFile {
            seed: board.arguments.seed.unwrap_or(DEFAULT_SEED),
            size: board.arguments.size.unwrap_or(DEFAULT_SIZE),
            ping_interval: Some(Duration::from_secs(2)),
            // A desktop that only receives has nothing to say.
            idle_timeout: None,
        };
        spawner.spawn(defmt::unwrap!(dial(board.stack, peer, file, DIALER.take())));
    }
}

#[embassy_executor::task(pool_size = CLIENTS)]
async fn serve(stack: Stack<'static>, server: &'static mut Server) -> ! {
    let Server { buffers, digests } = server;
    tcp::serve_forever(stack, PORT, Config::DEFAULT, buffers, digests, board::log_figures).await
}

#[embassy_executor::task]
async fn dial(
    stack: Stack<'static>,
    peer: SocketAddrV4,
    file: DeviceFile,
    buffers: &'static mut DialerBuffers,
) -> ! {
    let peer = (*peer.ip(), peer.port());
    tcp::dial_forever(stack, peer, Config::DEFAULT, Backoff::DEFAULT, buffers, file, board::log_figures).await
}

/// What serving one client at a time takes.
struct Server {
    buffers: Buffers<SERVER_WINDOW, 2048, 2048, 1460, 255>,
    digests: DigestServer,
}

impl Server {
    const fn new() -> Self {
        Self { buffers: Buffers::new(), digests: DigestServer::new() }
    }
}

type DialerBuffers = Buffers<DIALER_WINDOW, 8192, 512, 2048, 255>;

/// Where the device listens.
const PORT: u16 = 7077;

/// Clients served at a time. The second is there to be served while the first still closes.
const CLIENTS: usize = 2;

const SERVER_WINDOW: usize = 3072;
const DIALER_WINDOW: usize = 2048;
const _: () =
    assert!(CLIENTS * SERVER_WINDOW + DIALER_WINDOW <= SAFE_RECEIVE_WINDOW, "the chip would drop frames");

/// What is generated where the command line does not say.
const DEFAULT_SIZE: u64 = 16 << 20;
const DEFAULT_SEED: u64 = 1;
