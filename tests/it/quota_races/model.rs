//! What the rules give: computed from orders as their owners see them, and from the list of certificates, without a look
//! at any ledger.

use chancery::domain::Timestamp;

/// An order that is not over, or that was fulfilled.
#[derive(Debug, Clone)]
pub struct Seen {
    pub url: String,
    pub holder: usize,
    pub domain: usize,
    /// The certificate that it reissues, as `replaces` names it.
    pub replaces: Option<String>,
    /// Whether it was deducted from a package.
    pub packaged: bool,
    pub state: State,
}

#[derive(Debug, Clone)]
pub enum State {
    Open { expires: Timestamp },
    Issued { name: String, over: Timestamp, revoked: bool },
}

/// All of them at a moment.
#[derive(Debug)]
pub struct Model {
    pub now: Timestamp,
    pub orders: Vec<Seen>,
    /// Certificates issued elsewhere: for which domain, and from when they are over.
    pub elsewhere: Vec<(usize, Timestamp)>,
}

/// A count with its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    pub used: usize,
    pub next: Option<Timestamp>,
    /// From when there is room for another.
    pub open: Option<Timestamp>,
}

impl Count {
    fn of(mut ends: Vec<Timestamp>, limit: usize, now: Timestamp) -> Self {
        ends.sort();
        let open = if ends.len() < limit { Some(now) } else { ends.get(ends.len() - limit).copied() };
        Self { used: ends.len(), next: ends.first().copied(), open }
    }
}

impl Model {
    /// Until when an order counts for its primary domain (QUOTA-06).
    pub fn on_domain(&self, order: &Seen) -> Option<Timestamp> {
        let end = match &order.state {
            // QUOTA-14: a reissue takes no slot.
            _ if order.replaces.is_some() => return None,
            State::Open { expires } => *expires,
            State::Issued { over, .. } => *over,
        };
        (self.now < end).then_some(end)
    }

    /// Until when an order counts for its holder (QUOTA-05).
    pub fn on_holder(&self, order: &Seen) -> Option<Timestamp> {
        let end = self.on_domain(order)?;
        let free = match &order.state {
            State::Issued { name, revoked, .. } => *revoked && !self.is_reissued(name),
            State::Open { .. } => false,
        };
        (!free).then_some(end)
    }

    fn is_reissued(&self, certificate: &str) -> bool {
        self.orders.iter().filter(|order| order.replaces.as_deref() == Some(certificate)).any(|by| match &by.state {
            State::Issued { name, revoked, .. } => !revoked || self.is_reissued(name),
            State::Open { .. } => false,
        })
    }

    /// What counts against a holder's quota.
    pub fn holder(&self, holder: usize, limit: usize) -> Count {
        let own = self.orders.iter().filter(|order| order.holder == holder && !order.packaged);
        Count::of(own.filter_map(|order| self.on_holder(order)).collect(), limit, self.now)
    }

    /// What counts against a primary domain's quota.
    pub fn domain(&self, domain: usize, limit: usize) -> Count {
        let ours = self.orders.iter().filter(|order| order.domain == domain);
        let elsewhere = self.elsewhere.iter().filter(|(on, over)| *on == domain && self.now < *over);
        let ends = ours.filter_map(|order| self.on_domain(order)).chain(elsewhere.map(|(_, over)| *over));
        Count::of(ends.collect(), limit, self.now)
    }

    /// How many places of packages a holder's orders have used up, and how many unfinished ones hold.
    pub fn packaged(&self, holder: usize) -> (usize, usize) {
        let own = self.orders.iter().filter(|order| order.holder == holder && order.packaged);
        let (issued, open): (Vec<_>, Vec<_>) = own.partition(|order| matches!(order.state, State::Issued { .. }));
        (issued.len(), open.len())
    }
}
