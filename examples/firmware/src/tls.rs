//! The firmware of a board with a network that sends its file over TLS, to the server that the command line names.
//!
//! It is told who the server has to be, and proves who it is itself if it was given an identity. Both come from the host here,
//! and so do its random numbers; what a product has in their places stands beside each.

use core::net::SocketAddrV4;

use embassy_executor::Spawner;
use embassy_net::driver::Driver;
use embassy_net::{Runner, Stack, StackResources};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use static_cell::ConstStaticCell;
use tej_apps::GeneratedFile;
use tej_apps::tcp::TlsUpload;
use tej_apps::tls::{Credentials, Identity};
use tej_embassy::{Backoff, Config};

use crate::{net, semihosting};

/// Starts the network on `driver` and the task that uses it, and gives what keeps the network going: the board's `main` runs
/// it, for tasks cannot be generic. Call it once.
///
/// The stack's peak is logged after each connection, and `log_figures` is called, for what else the board has to tell.
///
/// # Panics
///
/// When the command line is not understood or does not say whom to dial and who that has to be, when the host has no random
/// numbers, and when the identity is of no use; what is wrong was logged.
pub fn start<D: Driver>(spawner: Spawner, driver: D, log_figures: fn()) -> Runner<'static, D> {
    static SOCKETS: ConstStaticCell<StackResources<1>> = ConstStaticCell::new(StackResources::new());
    static UPLOAD: ConstStaticCell<Upload> = ConstStaticCell::new(TlsUpload::new());
    static PAGE: ConstStaticCell<[u8; PAGE_SIZE]> = ConstStaticCell::new([0; PAGE_SIZE]);

    let arguments = net::arguments();
    let (Some(peer), Some(server)) = (arguments.peer, arguments.server) else {
        defmt::panic!("command line: peer=IP:PORT and server=FINGERPRINT are needed");
    };
    let credentials = Credentials { server, identity: identity(PAGE.take()), random: random() };
    let (stack, runner) = net::bring_up(driver, SOCKETS.take());
    spawner.spawn(defmt::unwrap!(net::keep_emulator_polling()));
    let file = net::file(&arguments);
    spawner.spawn(defmt::unwrap!(upload(stack, peer, credentials, file, UPLOAD.take(), log_figures)));
    runner
}

/// What the TCP receive window offers, in bytes: a controller that holds less may drop frames.
pub const RECEIVE_WINDOW: usize = 2048;

#[embassy_executor::task]
async fn upload(
    stack: Stack<'static>,
    peer: SocketAddrV4,
    mut credentials: Credentials<'static, ChaCha20Rng>,
    file: GeneratedFile,
    upload: &'static mut Upload,
    log_figures: fn(),
) {
    let peer = (*peer.ip(), peer.port());
    let (config, backoff) = (Config::DEFAULT, Backoff::DEFAULT);
    let after_each = || net::log_all(log_figures);
    upload.run(stack, peer, config, backoff, &mut credentials, file, after_each).await;
}

/// A generator that is fit for keys, with a seed of the host's.
///
/// Hardware seeds it from its true random number generator, whose own bytes may be biased or slow. What differs at each start
/// and cannot be guessed is all that TLS asks; a counter, a clock or a serial number is none, and with it anybody can read what
/// was sent.
fn random() -> ChaCha20Rng {
    let mut seed = [0; 32];
    if semihosting::fill_random(&mut seed).is_err() {
        defmt::panic!("the host has no random numbers");
    }
    ChaCha20Rng::from_seed(seed)
}

/// Who the device is, from a file of the host's that stands for a page of flash: no file is an erased page.
///
/// A product is given its identity when it is made, in a page that its debug port cannot read any more, or better makes the
/// key in a secure element, which never gives it away.
fn identity(page: &'static mut [u8]) -> Option<Identity<'static>> {
    let Ok(page) = semihosting::read_file(c"identity.der", page) else {
        defmt::warn!("no identity.der in QEMU's folder: a server that asks who this is will refuse");
        return None;
    };
    match Identity::from_der(page) {
        Ok(identity) => {
            defmt::info!("identity {}", identity.fingerprint());
            Some(identity)
        }
        Err(error) => defmt::panic!("identity: {}", error),
    }
}

type Upload = TlsUpload<RECEIVE_WINDOW, 8192, 1460>;

/// Bytes of the page with the identity. One of `tej identity` has some 500.
const PAGE_SIZE: usize = 2048;
