//! Greets every peer and prints what it sends: the Python original's README server, on tej-std.
//!
//! `cargo run -p tej-desktop --bin hello-server -- 127.0.0.1:8000`, and then the client beside it, the Python
//! original's client, or a device.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use tej_std::{Config, Connection, Event, Server, Status};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let server = match Server::bind(&addr, Config::default()).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("cannot listen on {addr}: {error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    println!("listening on {}", server.local_addr()?);
    loop {
        let (connection, peer) = server.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = serve(connection, peer).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn serve(connection: Connection, peer: SocketAddr) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (mut receiver, mut sender) = connection.split();
    sender.send_message(Status::ZERO, b"Hello").await?;
    let mut message = Vec::new();
    while let Some(event) = receiver.next().await? {
        match event {
            Event::FileStart { name, size } => {
                println!("{peer} sends {:?}, {size} bytes", String::from_utf8_lossy(name));
            }
            Event::MessageData(bytes) => message.extend_from_slice(bytes),
            Event::FrameEnd if !message.is_empty() => {
                println!("{peer} says {:?}", String::from_utf8_lossy(&message));
                message.clear();
            }
            _ => {}
        }
    }
    println!("{peer} is done");
    Ok(())
}
