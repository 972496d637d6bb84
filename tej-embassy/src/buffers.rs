//! The memory of one connection.

/// All the memory one [`Listener`](crate::Listener) or [`Dialer`](crate::Dialer) needs beside itself, given by the
/// caller. Nothing in it grows with the size or number of files.
///
/// | parameter | bytes for | choose |
/// |---|---|---|
/// | `RX` | the socket's receive ring: the TCP window | for files, more than one segment (1460); throughput over a real network is at most `RX` per round trip. The sum over all sockets must fit the network chip's own receive memory, or frames are dropped |
/// | `TX` | the socket's send ring: what may be on its way unacknowledged | for files, two segments and more: one alone waits for an acknowledgement that the peer holds back; throughput as for `RX` |
/// | `READ` | decoding: the longest piece of a file that [`next`](crate::Receiver::next) can lend | 1 and up; a flash page, if pages are written; 0 where only [`next_with`](crate::Receiver::next_with) is called, which decodes on the receive ring, or `Store::receive` of tej-files (`next` would see the end of the stream) |
/// | `STAGE` | staging: heads and small pieces collect here | 1 and up; a segment where a frame is written with waits in it, or messages are fed, so that they leave in one |
/// | `NAME` | a received file name: its length is the limit for names | 0 to 65,535 |
///
/// What the sizes are worth is measured: see docs/guides/buffers.md.
///
/// It is made to be a `static`, where it costs no stack and no start-up code (all zeros: `.bss`):
///
/// ```
/// use static_cell::ConstStaticCell;
/// use tej_embassy::Buffers;
///
/// static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
/// let buffers: &'static mut Buffers = BUFFERS.take();
///
/// // For three sockets, with smaller rings:
/// type Small = Buffers<2048, 2048, 512, 512, 64>;
/// static THREE: ConstStaticCell<[Small; 3]> = ConstStaticCell::new([const { Small::new() }; 3]);
/// # let _ = (buffers, THREE.take());
/// ```
pub struct Buffers<
    const RX: usize = 4096,
    const TX: usize = 4096,
    const READ: usize = 2048,
    const STAGE: usize = 1460,
    const NAME: usize = 255,
> {
    pub(crate) rx: Words<RX>,
    pub(crate) tx: Words<TX>,
    pub(crate) read: Words<READ>,
    pub(crate) stage: Words<STAGE>,
    pub(crate) name: [u8; NAME],
}

/// Bytes that begin where a word does: how fast they are copied must not depend on what else a program has in its memory.
#[repr(align(4))]
pub(crate) struct Words<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> Words<N> {
    const ZERO: Self = Self([0; N]);
}

impl<const RX: usize, const TX: usize, const READ: usize, const STAGE: usize, const NAME: usize>
    Buffers<RX, TX, READ, STAGE, NAME>
{
    /// Zeroed buffers. A size of 0 for anything but `READ` and `NAME` does not compile.
    pub const fn new() -> Self {
        const { assert!(RX > 0 && TX > 0 && STAGE > 0, "only READ and NAME may have a length of 0") };
        Self { rx: Words::ZERO, tx: Words::ZERO, read: Words::ZERO, stage: Words::ZERO, name: [0; NAME] }
    }
}

/// Their lengths, not what is in them.
#[cfg(feature = "defmt")]
impl<const RX: usize, const TX: usize, const READ: usize, const STAGE: usize, const NAME: usize> defmt::Format
    for Buffers<RX, TX, READ, STAGE, NAME>
{
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Buffers<{=usize}, {=usize}, {=usize}, {=usize}, {=usize}>",
            RX,
            TX,
            READ,
            STAGE,
            NAME
        );
    }
}

impl<const RX: usize, const TX: usize, const READ: usize, const STAGE: usize, const NAME: usize> Default
    for Buffers<RX, TX, READ, STAGE, NAME>
{
    fn default() -> Self {
        Self::new()
    }
}
