//! Ceilings that a file can only tighten.

/// Names in one certificate: what clients and the lints can take.
pub const NAMES: usize = 100;
/// Most days of a private CA's certificates: what user agents accepted of private roots.
pub const VALIDITY_DAYS: u32 = 825;
/// Most days of a documented product's certificates (VALIDITY-02; Baseline Requirements 6.3.2 before 2026-03-15).
pub const PUBLIC_DAYS: u32 = 398;
/// Most days of a free certificate: one year (VALIDITY-03).
pub const FREE_DAYS: u32 = 366;
/// Baseline Requirements 4.2.1 before 2026-03-15.
pub const REUSE_DAYS: u32 = 398;
/// Years in one purchase (BUY-06).
pub const YEARS: u32 = 3;
/// Free certificates in one quota: what a ledger is made for.
pub const QUOTA: u32 = 2_000;
/// Days for showing control of names: longer than any document says, as long as a random token may serve
/// (Baseline Requirements 3.2.2.4.7).
pub const DEADLINE_DAYS: u32 = 30;
/// Days that a renewal may add to the remaining ones (VALIDITY-06).
pub const ROLLOVER_DAYS: u32 = 90;
/// Days after issuance in which a reissue may go without validation (VAL-35).
pub const FRESH_DAYS: u32 = 30;
/// Characters of a DNS name (RFC 1035 section 2.3.4).
pub const NAME_CHARS: u32 = 253;
/// Labels that fit into those.
pub const NAME_LEVELS: u32 = 127;
/// Bytes of an upload that the store and the listeners can take.
pub const LETTER_BYTES: u32 = 10_000_000;
/// Business days that a review may be said to take.
pub const REVIEW_DAYS: u32 = 60;
/// Hours before a reminder: as many as the longest review (REMIND-04).
pub const REMINDER_HOURS: u32 = 720;
/// Most reviewers who must agree.
pub const APPROVERS: u32 = 5;
