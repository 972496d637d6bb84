//! What `cargo xtask bench buffers` runs: a device with buffers of many sizes, and a peer, on simulated networks.
//!
//! Prints a figure a line: its row, a tab, its value. They depend on nothing but the program.

mod pair;
mod pieces;
mod rate;
mod segments;

fn main() {
    rate::print();
    segments::print();
    pieces::print();
}

/// Tells a figure.
fn figure(row: &str, value: impl std::fmt::Display) {
    println!("{row}\t{value}");
}
