//! What runs a future, and what it waits for.

use core::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};

use crate::device;

/// Polls a future until it is done, without sleeping in between.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// Waits for the device.
pub async fn ready() {
    poll_fn(|_| if device::is_ready() { Poll::Ready(()) } else { Poll::Pending }).await;
}
