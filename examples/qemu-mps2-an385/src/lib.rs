//! The board, for each of its programs: where the AN385 image has its devices, and bringing them up.
#![no_std]

pub mod image;

pub use image::IMAGE;
use mps2::lan9118::Lan9118;

/// Brings the image up, and gives its network.
///
/// # Panics
///
/// When the Ethernet controller does not come up, which was logged, or when it is called again.
pub fn start() -> Lan9118 {
    match IMAGE.start() {
        Ok(ethernet) => ethernet,
        Err(error) => defmt::panic!("ethernet: {}", error),
    }
}

/// What has gone through the network.
pub fn log_figures() {
    defmt::info!("ethernet {}", IMAGE.ethernet.statistics());
}
