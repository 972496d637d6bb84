//! Takes whatever files come, and says how many bytes they had.

use core::fmt::Write as _;

use embassy_net::Stack;
use static_cell::ConstStaticCell;
use tej_core::{Event, Status};
use tej_embassy::{Buffers, Config, Listener};

pub(crate) async fn receive(stack: Stack<'static>) -> ! {
    static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
    let mut listener = Listener::new(stack, 7077, BUFFERS.take(), Config::DEFAULT);
    loop {
        let mut connection = listener.accept().await;
        let (receiver, sender) = connection.split();
        let mut bytes = 0_u64;
        while let Ok(Some(event)) = receiver.next().await {
            match event {
                Event::FileData(piece) => bytes += piece.len() as u64, // to flash, to a display
                Event::FrameEnd => {
                    let mut text = heapless::String::<32>::new();
                    let _ = write!(text, "{bytes} bytes");
                    let _ = sender.send_message(Status::ZERO, text.as_bytes()).await;
                    bytes = 0;
                }
                _ => {}
            }
        }
        let _ = connection.close().await;
    }
}
