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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    /// Bytes of all files that were begun.
    bytes: u64,
    /// Those files, and the directories that they needed.
    entries: u64,
}

impl Account {
    /// Nothing yet, to be counted against what the client has left.
    pub(super) fn charge(&self) -> Charge<'_> {
        Charge { account: self, charged: Used::default() }
    }
}

/// What one file is counted as. Given back when it is dropped, unless it was [kept](Self::keep): a file may be refused
/// after it was counted, for a client may have several connections, and none may wait for the disk of another.
#[derive(Debug)]
pub(super) struct Charge<'a> {
    account: &'a Account,
    charged: Used,
}

impl Charge<'_> {
    /// # Errors
    ///
    /// Fewer bytes are left of `quota`; so many.
    pub(super) fn bytes(&mut self, bytes: u64, quota: Option<u64>) -> Result<(), u64> {
        self.add(|used| &mut used.bytes, bytes, quota)
    }

    /// # Errors
    ///
    /// Fewer files and directories are left of `quota`; so many.
    pub(super) fn entries(&mut self, entries: u64, quota: Option<u64>) -> Result<(), u64> {
        self.add(|used| &mut used.entries, entries, quota)
    }

    pub(super) fn keep(mut self) {
        self.charged = Used::default();
    }

    fn add(&mut self, of: fn(&mut Used) -> &mut u64, amount: u64, quota: Option<u64>) -> Result<(), u64> {
        // Without a quota nobody asks.
        let Some(quota) = quota else { return Ok(()) };
        self.change(|used| {
            let used = of(used);
            let left = quota.saturating_sub(*used);
            if amount > left {
                return Err(left);
            }
            // Not above the quota.
            *used += amount;
            Ok(())
        })?;
        *of(&mut self.charged) += amount;
        Ok(())
    }

    fn change<T>(&mut self, change: impl FnOnce(&mut Used) -> T) -> T {
        change(&mut lock(&self.account.used))
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        let Used { bytes, entries } = self.charged;
        self.change(|used| {
            used.bytes = used.bytes.saturating_sub(bytes);
            used.entries = used.entries.saturating_sub(entries);
        });
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
        let charge = |n| {
            let account = accounts.of(nth(n));
            let mut charge = account.charge();
            charge.entries(1, Some(2)).map(|()| charge.keep())
        };
        for n in 0..MAX_ACCOUNTS {
            assert_eq!(charge(n), Ok(()));
        }
        for n in [0, MAX_ACCOUNTS - 1] {
            assert_eq!((charge(n), charge(n)), (Ok(()), Err(0)));
        }
        for (n, charged) in [(0, Ok(())), (1, Ok(())), (2, Err(0))] {
            assert_eq!(charge(MAX_ACCOUNTS + n), charged, "the rest share one");
        }
        assert_eq!(lock(&accounts.by_address).len(), MAX_ACCOUNTS);
    }
}
