//! Sends files and a message, and prints what the peer says: the Python original's README client, on tej-std.
//!
//! `cargo run -p tej-desktop --bin hello-client -- 127.0.0.1:8000 photo.jpg`

use std::error::Error;
use std::path::Path;

use tej_std::{Config, Event, Status, connect};
use tokio::fs::File;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let addr = arguments.next().unwrap_or_else(|| "127.0.0.1:8000".into());
    let paths: Vec<String> = arguments.collect();

    let (mut receiver, mut sender) = connect(addr, &Config::default()).await?.split();
    let send = async {
        sender.start_frame(Status::ZERO, u32::try_from(paths.len())?).await?;
        for path in &paths {
            let mut file = File::open(path).await?;
            let size = file.metadata().await?.len();
            let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
            sender.send_file(&name, size, &mut file).await?;
        }
        sender.finish_frame(b"Sending from client").await?;
        sender.shutdown().await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let receive = async {
        let mut message = Vec::new();
        while let Some(event) = receiver.next().await? {
            match event {
                Event::MessageData(bytes) => message.extend_from_slice(bytes),
                Event::FrameEnd => {
                    println!("the peer says {:?}", String::from_utf8_lossy(&message));
                    message.clear();
                }
                _ => {}
            }
        }
        Ok(())
    };
    tokio::try_join!(send, receive)?;
    Ok(())
}
