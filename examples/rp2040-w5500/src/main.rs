//! Firmware for WIZnet's W5500-EVB-Pico: serves whoever calls, and calls the peer that `settings` name.
//!
//! What it does is in the crate `tej-apps`; here the board is brought up for it.
#![no_std]
#![no_main]

mod board;
mod network;
mod settings;

use core::net::SocketAddrV4;

use embassy_executor::Spawner;
use embassy_net::{Stack, StackResources};
use static_cell::{ConstStaticCell, StaticCell};
use tej_apps::{DeviceFile, GeneratedFile, tcp};
use tej_embassy::{Backoff, Buffers, Config};

use crate::settings::{FILE_SIZE, PEER, PORT};

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static SOCKETS: StaticCell<StackResources<SOCKET_COUNT>> = StaticCell::new();
    static SERVERS: ConstStaticCell<[Server; CLIENTS]> =
        ConstStaticCell::new([const { Server::new() }; CLIENTS]);
    static DIALER: ConstStaticCell<DialerBuffers> = ConstStaticCell::new(Buffers::new());

    let stack = board::start(spawner, SOCKETS.init_with(StackResources::new)).await;
    for server in SERVERS.take() {
        spawner.spawn(defmt::unwrap!(serve(stack, server)));
    }
    if let Some(peer) = PEER {
        spawner.spawn(defmt::unwrap!(dial(stack, peer, DIALER.take())));
    }
    tcp::log_changes(stack).await
}

#[embassy_executor::task(pool_size = CLIENTS)]
async fn serve(stack: Stack<'static>, server: &'static mut Server) -> ! {
    let Server { buffers, digests } = server;
    tcp::serve_forever(stack, PORT, Config::DEFAULT, buffers, digests, || {}).await
}

#[embassy_executor::task]
async fn dial(stack: Stack<'static>, peer: SocketAddrV4, buffers: &'static mut DialerBuffers) -> ! {
    let file = DeviceFile::new(GeneratedFile { seed: 1, size: FILE_SIZE });
    let peer = (*peer.ip(), peer.port());
    tcp::dial_forever(stack, peer, Config::DEFAULT, Backoff::DEFAULT, buffers, file, || {}).await
}

type Server = tcp::Server<SERVER_WINDOW, 4096, 2048, 1460, 255>;
type DialerBuffers = Buffers<DIALER_WINDOW, 8192, 512, 2048, 255>;

/// Clients served at a time. The second is there to be served while the first still closes.
const CLIENTS: usize = 2;

/// One for each client, one for the peer that is dialed, one for DHCP.
const SOCKET_COUNT: usize = CLIENTS + 2;

const SERVER_WINDOW: usize = 6 * 1024;
const DIALER_WINDOW: usize = 2048;
const _: () = assert!(
    CLIENTS * SERVER_WINDOW + DIALER_WINDOW <= board::SAFE_RECEIVE_WINDOW,
    "the chip would drop frames"
);
