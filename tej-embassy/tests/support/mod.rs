//! Two embassy-net stacks joined by a wire in memory, and whole frames for the tests' convenience.

#![allow(dead_code, reason = "every test file uses its own part")]

use core::cell::Cell;
use core::future::Future;

use embassy_futures::join::{join, join3};
use embassy_futures::select::{Either, select};
use embassy_net::{Ipv4Address, Ipv4Cidr, Runner, Stack, StackResources, StaticConfigV4};
use embassy_net_driver_channel as channel;
use embassy_net_driver_channel::driver::{HardwareAddress, LinkState};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{Read, Write};
use tej_core::io::{FrameReader, FrameWriter, ReadError, WriteError};
use tej_core::{Event, Status};

/// The address of the first stack a test is given.
pub(crate) const HERE: Ipv4Address = Ipv4Address::new(10, 9, 0, 1);
/// The address of the second.
pub(crate) const THERE: Ipv4Address = Ipv4Address::new(10, 9, 0, 2);

/// What happens to Ethernet frames between the stacks; at first, nothing.
pub(crate) struct Wire {
    /// Of 1000 frames, how many are lost on their way there, and how many on their way back.
    loss_per_mille: [Cell<u64>; 2],
    dead_port: Cell<Option<u16>>,
    random: Cell<u64>,
}

impl Wire {
    /// From now on, so many of 1000 frames are lost on their way there, and so many on their way back.
    pub(crate) fn lose(&self, there: u64, back: u64) {
        self.loss_per_mille[OUT].set(there);
        self.loss_per_mille[BACK].set(back);
    }

    /// From now on, TCP segments to `port` are lost, as if who has it were gone.
    pub(crate) fn lose_all_to(&self, port: u16) {
        self.dead_port.set(Some(port));
    }

    fn loses_this_one(&self, direction: usize, frame: &[u8]) -> bool {
        let to_port = frame.get(TCP_DESTINATION).map(|port| u16::from_be_bytes(port.try_into().unwrap()));
        if to_port.is_some() && to_port == self.dead_port.get() {
            return true;
        }
        // SplitMix64: the same losses in every run.
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 1000 < self.loss_per_mille[direction].get()
    }
}

/// Runs `body` on two stacks until it is done. A test that hangs fails after a minute.
pub(crate) fn on_two_stacks<T, F: Future<Output = T>>(
    body: impl FnOnce(Stack<'static>, Stack<'static>, &'static Wire) -> F,
) -> T {
    let wire: &'static Wire =
        leak(Wire { loss_per_mille: Default::default(), dead_port: Cell::new(None), random: Cell::new(7) });
    let (here_runner, here_device) = device(1);
    let (there_runner, there_device) = device(2);
    let (here, mut here_net) = stack(here_device, HERE, 0x1111);
    let (there, mut there_net) = stack(there_device, THERE, 0x2222);
    let (_, mut here_rx, mut here_tx) = here_runner.split();
    let (_, mut there_rx, mut there_tx) = there_runner.split();
    futures_lite::future::block_on(async {
        let network = join3(
            join(here_net.run(), there_net.run()),
            carry(wire, OUT, &mut here_tx, &mut there_rx),
            carry(wire, BACK, &mut there_tx, &mut here_rx),
        );
        let body = with_timeout(PATIENCE, body(here, there, wire));
        match select(body, network).await {
            Either::First(result) => result.expect("the test hangs"),
            Either::Second(_) => unreachable!("the network runs for ever"),
        }
    })
}

/// A frame, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) status: u8,
    pub(crate) files: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) message: Vec<u8>,
}

impl Frame {
    pub(crate) fn message(message: impl AsRef<[u8]>) -> Self {
        Self { message: message.as_ref().to_vec(), ..Self::default() }
    }

    pub(crate) fn file(name: &str, data: Vec<u8>) -> Self {
        Self { files: vec![(name.as_bytes().to_vec(), data)], ..Self::default() }
    }
}

/// Sends `frame` and pushes it.
pub(crate) async fn send<W, B>(
    writer: &mut FrameWriter<W, B>,
    frame: &Frame,
) -> Result<(), WriteError<W::Error>>
where
    W: Write,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    writer.start_frame(Status::new(frame.status).unwrap(), u32::try_from(frame.files.len()).unwrap()).await?;
    for (name, data) in &frame.files {
        writer.start_file(name, data.len() as u64).await?;
        writer.write_payload(data).await?;
    }
    writer.start_message(frame.message.len() as u64).await?;
    writer.write_payload(&frame.message).await?;
    writer.push().await
}

/// Receives the next frame; `None` at the end of the stream.
pub(crate) async fn receive<R, B, N>(
    reader: &mut FrameReader<R, B, N>,
) -> Result<Option<Frame>, ReadError<R::Error>>
where
    R: Read,
    B: AsRef<[u8]> + AsMut<[u8]>,
    N: AsRef<[u8]> + AsMut<[u8]>,
{
    let mut frame = Frame::default();
    while let Some(event) = reader.next().await? {
        match event {
            Event::FrameStart(header) => frame.status = header.status.value(),
            Event::FileStart { name, .. } => frame.files.push((name.to_vec(), Vec::new())),
            Event::FileData(data) => frame.files.last_mut().unwrap().1.extend_from_slice(data),
            Event::MessageData(data) => frame.message.extend_from_slice(data),
            Event::FrameEnd => return Ok(Some(frame)),
            _ => {}
        }
    }
    Ok(None)
}

/// Bytes in which a piece that is lost, doubled or moved shows.
pub(crate) fn bytes(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// A value that lives as long as the test program, as a `static` does on a device.
pub(crate) fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

fn device(last: u8) -> (channel::Runner<'static, MTU>, channel::Device<'static, MTU>) {
    let state = leak(channel::State::<MTU, QUEUE, QUEUE>::new());
    let (runner, device) = channel::new(state, HardwareAddress::Ethernet([2, 0, 0, 0, 0, last]));
    runner.state_runner().set_link_state(LinkState::Up);
    (runner, device)
}

type Net = Runner<'static, channel::Device<'static, MTU>>;

fn stack(device: channel::Device<'static, MTU>, address: Ipv4Address, seed: u64) -> (Stack<'static>, Net) {
    let config = embassy_net::Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(address, 24),
        gateway: None,
        dns_servers: Default::default(),
    });
    embassy_net::new(device, config, leak(StackResources::<SOCKETS>::new()), seed)
}

async fn carry(
    wire: &Wire,
    direction: usize,
    from: &mut channel::TxRunner<'_, MTU>,
    to: &mut channel::RxRunner<'_, MTU>,
) {
    loop {
        let frame = from.tx_buf().await;
        if !wire.loses_this_one(direction, frame) {
            let len = frame.len();
            to.rx_buf().await[..len].copy_from_slice(frame);
            to.rx_done(len);
        }
        from.tx_done();
    }
}

/// Where the destination port is in an Ethernet frame with an IPv4 head without options. In an ARP frame it is the
/// end of a hardware address, 0 to 2 here, which is no ephemeral port.
const TCP_DESTINATION: core::ops::Range<usize> = 36..38;
const OUT: usize = 0;
const BACK: usize = 1;
const MTU: usize = 1514;
const QUEUE: usize = 8;
const SOCKETS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(60);
