//! The least that a file over TCP costs: blocking sockets, no protocol, one system call after the other.

use std::fs::File;
use std::net::{Shutdown, TcpListener, TcpStream};

use rustix::fs::sendfile;
use rustix::net::{RecvFlags, recv};
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, pipe};

use crate::{Result, listening};

pub(crate) fn send(addr: &str, file: &str) -> Result<()> {
    let (file, stream) = (File::open(file)?, TcpStream::connect(addr)?);
    let size = file.metadata()?.len();
    let mut offset = 0;
    while offset < size {
        if sendfile(&stream, &file, Some(&mut offset), STEP)? == 0 {
            return Err("the file shrank".into());
        }
    }
    stream.shutdown(Shutdown::Write)?;
    // Until the peer is done.
    recv(&stream, &mut [0_u8; 1][..], RecvFlags::empty())?;
    Ok(())
}

pub(crate) fn splice(file: &str) -> Result<()> {
    let (stream, file) = (accept()?, File::create(file)?);
    let (read, write) = pipe()?;
    fcntl_setpipe_size(&write, STEP)?;
    loop {
        let mut held = rustix::pipe::splice(&stream, None, &write, None, STEP, SpliceFlags::MOVE)?;
        if held == 0 {
            return Ok(());
        }
        while held > 0 {
            held -= rustix::pipe::splice(&read, None, &file, None, held, SpliceFlags::MOVE)?;
        }
    }
}

pub(crate) fn discard() -> Result<()> {
    let stream = accept()?;
    let mut buffer = vec![0_u8; 256 * 1024];
    while recv(&stream, &mut buffer[..], RecvFlags::empty())?.1 > 0 {}
    Ok(())
}

fn accept() -> Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listening(listener.local_addr()?);
    Ok(listener.accept()?.0)
}

/// What `tej` moves at once.
const STEP: usize = 1 << 20;
