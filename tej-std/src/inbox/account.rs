//! What clients have delivered so far.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::admission::customer;

/// What one client has delivered. A clone is the same account.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    used: Arc<Mutex<Used>>,
}

#[derive(Debug, Default)]
pub(super) struct Used {
    /// Bytes of all files that were begun.
    pub(super) bytes: u64,
    /// Those files, and the directories that they needed.
    pub(super) entries: u64,
}

impl Account {
    /// Held from the look at what is left until it is charged: a client may have several connections.
    pub(super) fn lock(&self) -> MutexGuard<'_, Used> {
        lock(&self.used)
    }
}

/// The accounts of clients that are known by their addresses.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    by_address: Mutex<HashMap<IpAddr, Account>>,
    /// Of all that came when there were [`MAX_ACCOUNTS`].
    rest: Account,
}

impl Accounts {
    pub(super) fn of(&self, address: IpAddr) -> Account {
        let address = customer(address);
        let mut by_address = lock(&self.by_address);
        if let Some(account) = by_address.get(&address) {
            return account.clone();
        }
        if by_address.len() >= MAX_ACCOUNTS {
            return self.rest.clone();
        }
        by_address.entry(address).or_default().clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever holds it only counts.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Addresses that are told apart: they take some 10 MiB at most.
const MAX_ACCOUNTS: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    // case 51
    #[test]
    fn accounts_are_kept_apart_up_to_a_number() {
        let accounts = Accounts::default();
        let nth = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        for n in 0..MAX_ACCOUNTS {
            accounts.of(nth(n)).lock().entries += 1;
        }
        assert_eq!(accounts.of(nth(0)).lock().entries, 1);
        assert_eq!(accounts.of(nth(MAX_ACCOUNTS - 1)).lock().entries, 1);
        for n in 0..3 {
            accounts.of(nth(MAX_ACCOUNTS + n)).lock().entries += 1;
        }
        assert_eq!(accounts.of(nth(MAX_ACCOUNTS)).lock().entries, 3, "the rest share one");
        assert_eq!(lock(&accounts.by_address).len(), MAX_ACCOUNTS);
    }
}
