//! What you may want to change.

use core::net::SocketAddrV4;

#[cfg(feature = "static-ipv4")]
use embassy_net::{Ipv4Address, Ipv4Cidr};

/// Where the device listens.
pub(crate) const PORT: u16 = 7077;

/// A peer that the device dials, to send it a generated file: `tej recv --listen 0.0.0.0:7078 --dir inbox` on a desktop,
/// and here `Some(SocketAddrV4::new(core::net::Ipv4Addr::new(192, 168, 1, 10), 7078))`.
pub(crate) const PEER: Option<SocketAddrV4> = None;

/// The length of that file, in bytes.
pub(crate) const FILE_SIZE: u64 = 16 << 20;

/// What the device calls itself to the DHCP server. Many routers answer for it, too: `tej send tej-nucleo:7077 photo.jpg`.
#[cfg(not(feature = "static-ipv4"))]
pub(crate) const HOST_NAME: &str = "tej-nucleo";

/// The address with the feature `static-ipv4`. No router is needed for a cable from the device to a desktop which is in
/// the same network, as 192.168.7.1/24.
#[cfg(feature = "static-ipv4")]
pub(crate) const ADDRESS: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(192, 168, 7, 77), 24);

/// The way to other networks, with the feature `static-ipv4`.
#[cfg(feature = "static-ipv4")]
pub(crate) const GATEWAY: Option<Ipv4Address> = None;
