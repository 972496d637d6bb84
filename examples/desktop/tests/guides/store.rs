//! Keeps the last file that came whole, as docs/guides/first-file.md shows.

use embassy_net::Stack;
use embedded_storage_async::nor_flash::NorFlash;
use static_cell::ConstStaticCell;
use tej_core::{Event, Status};
use tej_embassy::{Buffers, Config, Listener};
use tej_files::{NorSink, Outcome, Store};

pub(crate) async fn store<F: NorFlash>(stack: Stack<'static>, flash: &mut F) -> ! {
    static BUFFERS: ConstStaticCell<Buffers<8192, 512, 1460, 64, 64>> = ConstStaticCell::new(Buffers::new());
    let mut listener = Listener::new(stack, 7077, BUFFERS.take(), Config::DEFAULT);
    let mut page = [0; 256];
    loop {
        let mut connection = listener.accept().await;
        let mut store = Store::new(NorSink::new(&mut *flash, 0x10_0000..0x20_0000, &mut page));
        let (receiver, sender) = connection.split();
        let mut worst = 0;
        while let Ok(Some(event)) = receiver.next().await {
            let outcome = match store.take(event).await {
                None => 0,
                Some(Outcome::Stored { .. }) => 1,
                Some(Outcome::Refused(_)) => 2,
                Some(_) => 3,
            };
            worst = outcome.max(worst);
            if event == Event::FrameEnd {
                let answer = ["no file", "stored", "too long", "the flash failed"][worst];
                let _ = sender.send_message(Status::ZERO, answer.as_bytes()).await;
                worst = 0;
            }
        }
        store.abandon().await; // what the end of the connection has cut off
        let _ = connection.close().await;
    }
}
