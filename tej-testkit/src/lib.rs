#![doc = include_str!("../README.md")]

// What embassy's crates need of a host.
use critical_section as _;

mod clock;
mod cut;
mod frame;
mod random;
mod stacks;
mod wire;

pub use clock::{advance, block_on};
pub use cut::{End, FLIPPED, hostile_clients, send_cut};
pub use frame::{Frame, bytes, receive, send};
pub use random::Random;
pub use stacks::{HERE, HERE_V6, THERE, THERE_V6, connect, leak, on_seeded_stacks, on_two_stacks};
pub use wire::{Direction, Faults, Wire};
