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
        let mut bytes = 0;
        while let Ok(Some(event)) = receiver.next().await {
            match event {
                Event::FileData(piece) => bytes += piece.len(), // to flash with it, to a display, to a pump
                Event::FrameEnd => {
                    let mut text = heapless::String::<32>::new();
                    let _ = write!(text, "{bytes} bytes");
                    let _ = sender.send_message(Status::ZERO, text.as_bytes()).await;
                }
                _ => {}
            }
        }
        let _ = connection.close().await;
    }
}
