//! The program of docs/guides/first-file.md.

#![no_std]
#![no_main]

#[path = "../../src/board.rs"]
mod board;
#[path = "../../src/network.rs"]
mod network;
mod receive;
#[path = "../../src/settings.rs"]
#[allow(dead_code, reason = "it says more than a first program needs")]
mod settings;

use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_net::StackResources;
use static_cell::StaticCell;

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    // One for the listener, one for DHCP.
    static SOCKETS: StaticCell<StackResources<2>> = StaticCell::new();
    let stack = board::start(spawner, SOCKETS.init_with(StackResources::new)).await;
    join(receive::receive(stack), tej_apps::tcp::log_changes(stack)).await;
}

const _: () = assert!(4096 <= board::SAFE_RECEIVE_WINDOW, "the chip would drop frames");
