//! What `cargo xtask bench net` runs beside the `tej` command: baselines, messages, idle connections, and what counts.
//!
//! Whatever listens says `{"event":"listening","addr":"127.0.0.1:PORT"}` on its standard output, as `tej recv --json`
//! does.

mod idle;
mod messages;
mod raw;
mod usage;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["usage", report, program, arguments @ ..] => usage::run(report, program, arguments),
        ["raw-send", addr, file] => raw::send(addr, file),
        ["raw-splice", file] => raw::splice(file),
        ["raw-discard"] => raw::discard(),
        ["messages-receive", codec, way, count] => messages::receive(codec, way, count),
        ["messages-send", codec, way, count, addr] => messages::send(codec, way, count, addr),
        ["idle-hold", who, count] => idle::hold(who, count),
        ["idle-connect", addr, count] => idle::connect(addr, count),
        _ => Err(format!("unknown arguments: {}", arguments.join(" ")).into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("measure-net {}: {error}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Says where others are to connect.
fn listening(addr: SocketAddr) {
    println!("{{\"event\":\"listening\",\"addr\":\"{addr}\"}}");
}
