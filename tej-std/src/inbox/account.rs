//! What clients have delivered so far.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::admission::customer;

/// What a client has delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Bytes of all files that were begun.
    bytes: u64,
    /// Those files, and the directories that they needed.
    entries: u64,
}

/// As whom an inbox knows a client.
///
/// ```
/// # fn example(inbox: &tej_std::inbox::Inbox, address: std::net::IpAddr, certificate_sha256: [u8; 32]) {
/// use tej_std::inbox::Client;
///
/// let by_client = inbox.delivery_from(address);
/// let by_key = inbox.delivery_from(Client::Key(certificate_sha256));
/// # let _ = (by_client, by_key);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Client {
    /// By where it connects from; of IPv6 a /64 network counts as one address, for that is the least that one customer
    /// has.
    Address(IpAddr),
    /// By what it has proved to be, wherever it connects from: the SHA-256 of its certificate, say. Of no use if it can
    /// have a new one whenever it likes.
    Key([u8; 32]),
}

impl Client {
    /// The same for all addresses that count as one.
    fn folded(self) -> Self {
        match self {
            Self::Address(address) => Self::Address(customer(address)),
            Self::Key(_) => self,
        }
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

/// Where the files of one connection are counted.
#[derive(Debug)]
pub(super) enum Account {
    /// Nowhere else.
    Own(Used),
    /// With all others of this client.
    Of(Client),
}

impl Account {
    pub(super) fn of(client: Client) -> Self {
        Self::Of(client.folded())
    }

    /// Nothing yet, to be counted against what the client has left.
    pub(super) fn charge<'a>(&'a mut self, accounts: &'a Accounts) -> Charge<'a> {
        let payer = match self {
            Self::Own(used) => Payer::Own(used),
            Self::Of(client) => Payer::Of { accounts, client: *client, is_rest: false },
        };
        Charge { payer, charged: Used::default() }
    }
}

/// The accounts of clients that are known when they come again. Only what was charged has one: a stranger who merely
/// connects, or whose files are refused, takes up no place.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_client: HashMap<Client, Used>,
    /// Of all that came when there were [`MAX_ACCOUNTS`].
    rest: Used,
}

/// What one file is counted as. Given back when it is dropped, unless it was [kept](Self::keep): a file may be refused
/// after it was counted, for a client may have several connections, and none may wait for the disk of another.
#[derive(Debug)]
pub(super) struct Charge<'a> {
    payer: Payer<'a>,
    charged: Used,
}

#[derive(Debug)]
enum Payer<'a> {
    Own(&'a mut Used),
    Of {
        accounts: &'a Accounts,
        client: Client,
        /// Where what is charged was counted.
        is_rest: bool,
    },
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
        let (accounts, client, is_rest) = match &mut self.payer {
            Payer::Own(used) => return change(used),
            Payer::Of { accounts, client, is_rest } => (accounts, *client, is_rest),
        };
        let Table { by_client, rest } = &mut *lock(&accounts.table);
        if self.charged == Used::default() {
            *is_rest = by_client.len() >= MAX_ACCOUNTS && !by_client.contains_key(&client);
        }
        if *is_rest {
            return change(rest);
        }
        let used = by_client.entry(client).or_default();
        let result = change(used);
        if *used == Used::default() {
            by_client.remove(&client);
        }
        result
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        let Used { bytes, entries } = self.charged;
        if self.charged == Used::default() {
            return;
        }
        self.change(|used| {
            used.bytes = used.bytes.saturating_sub(bytes);
            used.entries = used.entries.saturating_sub(entries);
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever holds it only counts.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Clients that are told apart: they take some 10 MiB at most.
const MAX_ACCOUNTS: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn nth(n: usize) -> Account {
        Account::of(IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()).into())
    }

    fn charge(accounts: &Accounts, n: usize) -> Result<(), u64> {
        let mut account = nth(n);
        let mut charge = account.charge(accounts);
        charge.entries(1, Some(2)).map(|()| charge.keep())
    }

    fn known(accounts: &Accounts) -> usize {
        lock(&accounts.table).by_client.len()
    }

    // case 51
    #[test]
    fn accounts_are_kept_apart_up_to_a_number() {
        let accounts = Accounts::default();
        for n in 0..MAX_ACCOUNTS {
            assert_eq!(charge(&accounts, n), Ok(()));
        }
        for n in [0, MAX_ACCOUNTS - 1] {
            assert_eq!((charge(&accounts, n), charge(&accounts, n)), (Ok(()), Err(0)));
        }
        for (n, charged) in [(0, Ok(())), (1, Ok(())), (2, Err(0))] {
            assert_eq!(charge(&accounts, MAX_ACCOUNTS + n), charged, "the rest share one");
        }
        assert_eq!(known(&accounts), MAX_ACCOUNTS);
    }

    // case 51
    #[test]
    fn what_is_given_back_or_counts_nothing_takes_no_place() {
        let accounts = Accounts::default();
        let (mut one, mut two) = (nth(1), nth(1));
        let mut refused = one.charge(&accounts);
        assert_eq!((refused.bytes(11, Some(10)), refused.entries(0, Some(1))), (Err(10), Ok(())));
        assert_eq!((refused.bytes(1 << 40, None), known(&accounts)), (Ok(()), 0));
        assert_eq!((refused.bytes(4, Some(10)), refused.entries(1, Some(1))), (Ok(()), Ok(())));
        let mut kept = two.charge(&accounts);
        assert_eq!((kept.bytes(7, Some(10)), kept.bytes(6, Some(10))), (Err(6), Ok(())));
        drop(refused);
        assert_eq!(known(&accounts), 1);
        drop(kept);
        assert_eq!(known(&accounts), 0);
    }

    // case 51
    #[test]
    fn what_was_counted_with_the_rest_is_given_back_to_them() {
        let accounts = Accounts::default();
        for n in 1..MAX_ACCOUNTS {
            assert_eq!(charge(&accounts, n), Ok(()));
        }
        let (mut first, mut last) = (nth(0), nth(MAX_ACCOUNTS));
        let mut passing = first.charge(&accounts);
        assert_eq!(passing.entries(1, Some(2)), Ok(()));
        let mut rest = last.charge(&accounts);
        assert_eq!(rest.entries(2, Some(2)), Ok(()));
        // A place becomes free, which does not move what is counted already.
        drop(passing);
        assert_eq!(rest.bytes(1, Some(1)), Ok(()));
        assert_eq!(lock(&accounts.table).rest, Used { bytes: 1, entries: 2 });
        drop(rest);
        assert_eq!(lock(&accounts.table).rest, Used::default());
        assert_eq!(known(&accounts), MAX_ACCOUNTS - 1);
    }
}
