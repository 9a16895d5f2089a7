//! Help texts: what may go wrong and what to do about it (DIAG), what people ask (FAQ), and about installing (INSTALL). One
//! place for each text that is not told with figures where it arises.

/// A help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// The rule, as in `DIAG-02`.
    pub id: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// What is the matter.
    pub text: &'static str,
    /// What to do; empty where nothing needs to be done.
    pub remedy: &'static str,
}

/// The text of that id, whatever its case.
pub fn topic(id: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.id.eq_ignore_ascii_case(id))
}

/// Which text explains a refusal, by the rule that is cited last in its sentence.
pub fn topic_of(sentence: &str) -> Option<&'static Topic> {
    sentence.rmatch_indices('(').find_map(|(at, _)| {
        let (rules, _) = sentence[at + 1..].split_once(')')?;
        let rule = rules.rsplit(", ").next()?;
        topic(rule).or_else(|| topic(stands_for(rule)?))
    })
}

/// The finding of a rule that refuses a name, an issuer or a connection.
fn stands_for(rule: &str) -> Option<&'static str> {
    let (family, _) = rule.split_once('-')?;
    match rule {
        "VAL-13" => Some("DIAG-12"),
        "VAL-20" => Some("DIAG-02"),
        "DOM-11" => Some("DIAG-18"),
        "CSR-04" => Some("DIAG-19"),
        "CSR-05" => Some("DIAG-20"),
        "CSR-02" | "KEY-01" | "KEY-02" => Some("DIAG-21"),
        "ORG-09" => Some("DIAG-22"),
        "REVOKE-09" => Some("DIAG-23"),
        "UPLOAD-11" => Some("DIAG-24"),
        "REVIEW-12" => Some("DIAG-26"),
        _ => match family {
            "CAA" => Some("DIAG-14"),
            "WORD" => Some("DIAG-16"),
            "TLD" => Some("DIAG-17"),
            "DOM" => Some("DIAG-18"),
            "QUOTA" => Some("DIAG-27"),
            _ => None,
        },
    }
}

const fn about(id: &'static str, title: &'static str, text: &'static str, remedy: &'static str) -> Topic {
    Topic { id, title, text, remedy }
}

/// Every text, by its id (section 22 and 23 of the rules, INSTALL-07 and INSTALL-09 to INSTALL-13).
pub const TOPICS: &[Topic] = &[
    about(
        "DIAG-01",
        "The file is served over HTTP only",
        "The web server answers HTTPS too, and the file is not there.",
        "Put the file on HTTPS as well, or switch HTTPS off until validation is done.",
    ),
    about(
        "DIAG-02",
        "The file's address answers with an error",
        "The address of the file returned another status than 200, which alone counts.",
        "Put the file where its address says, readable for everybody, and look at it with `curl -k -v` or `wget -S`.",
    ),
    about(
        "DIAG-03",
        "The file's address redirects",
        "The address leads elsewhere, and redirects are not followed: the content must come directly.",
        "Take the redirect away for this address. Compare the address that a browser shows, or run `wget -S`.",
    ),
    about(
        "DIAG-04",
        "The file has other content",
        "The content does not equal the expected value.",
        "Put exactly the expected value into the file, with nothing before or behind it.",
    ),
    about(
        "DIAG-05",
        "Not reachable from everywhere",
        "Some of the addresses or places of the host do not answer, so that not everybody sees the file.",
        "Push the file to all CDN nodes, pause the CDN, take addresses that do not answer out of the DNS, or use DNS \
         validation.",
    ),
    about(
        "DIAG-06",
        "The connection is blocked",
        "The host takes no connection from the validation servers.",
        "Allow the addresses that validations come from on firewall and data centre.",
    ),
    about(
        "DIAG-07",
        "HTTPS on the host can't be used",
        "The certificate is not trusted, or the page over HTTPS is another one.",
        "Switch HTTPS off for this host until validation is done.",
    ),
    about(
        "DIAG-08",
        "There is no record",
        "The name has no TXT record where one is expected.",
        "Add the record. If your DNS panel appends the zone, enter the host without it. New records show within seconds, \
         changed ones after their TTL.",
    ),
    about(
        "DIAG-09",
        "The record has another value",
        "There is a record, and not the expected one.",
        "Add a second value instead of editing: an edited one is hidden by its old TTL.",
    ),
    about(
        "DIAG-10",
        "The DNS makes answers up",
        "Your name servers answer for names that do not exist.",
        "Add the record at exactly the name that is asked for; earlier answers can be ignored.",
    ),
    about(
        "DIAG-11",
        "The DNS answers not, or not everywhere the same",
        "The lookup failed or differs from place to place.",
        "Check your name servers, those abroad too, and their limits on queries.",
    ),
    about(
        "DIAG-12",
        "The time is over",
        "Control of the name was not shown within the 3 days.",
        "Submit again, and add the record within 3 days.",
    ),
    about(
        "DIAG-13",
        "The look took too long",
        "A look that takes longer than 30 s is given up, and tried again later.",
        "Have name server and web server answer faster; look again at the time of the next try.",
    ),
    about(
        "DIAG-14",
        "CAA forbids it",
        "The CAA records of the domain do not permit this CA to issue.",
        "Add both `issue` and `issuewild` with the CA's issuer name at the domain (`@`), or remove the records.",
    ),
    about(
        "DIAG-15",
        "CAA could not be read",
        "The CAA lookup failed, which is no permission.",
        "Check the zone: its name servers must answer for the type CAA, if only that there is none.",
    ),
    about(
        "DIAG-16",
        "A sensitive word in the name",
        "The name contains a word that the CA's anti-phishing filter refuses.",
        "Change the host part, choose a paid product, or use another primary domain.",
    ),
    about(
        "DIAG-17",
        "The suffix is not available",
        "Certificates, or free ones, are not issued below this suffix.",
        "Choose a product that takes the suffix, or another domain.",
    ),
    about(
        "DIAG-18",
        "The form of the name",
        "The name is not one that can be certified.",
        "Use letters, digits and hyphens, 64 characters at most.",
    ),
    about(
        "DIAG-19",
        "The CSR was used before",
        "This CSR, or one with the same key, already served another order.",
        "Make a new key and CSR for each order.",
    ),
    about(
        "DIAG-20",
        "The CSR's common name",
        "The common name is not among the ordered names.",
        "Use one of the ordered names, or leave the common name out.",
    ),
    about(
        "DIAG-21",
        "The CSR's key",
        "The product does not take keys of this kind or length.",
        "Make an RSA key of 2048 bits, or one of the kinds that the product lists.",
    ),
    about(
        "DIAG-22",
        "The company's phone",
        "The company phone is missing, or nobody answered it.",
        "Correct the number and submit again.",
    ),
    about(
        "DIAG-23",
        "The certificate is in use",
        "The certificate is bound to resources, which would fail without it.",
        "Unbind it from them, then revoke.",
    ),
    about(
        "DIAG-24",
        "The upload can't be read",
        "What was uploaded is no certificate with its key in a form that is known.",
        "Check the standard (international or SM2), the PEM markers, and that the chain is complete.",
    ),
    about(
        "DIAG-25",
        "It takes longer than usual",
        "A free certificate is issued within 30 minutes for the most part; this one is not.",
        "Check in this order: CAA, DNS record, blocked validation addresses.",
    ),
    about(
        "DIAG-26",
        "The status did not move",
        "A message of the CA can arrive before the status changes: it follows with a delay.",
        "Nothing needs to be done.",
    ),
    about(
        "DIAG-27",
        "The quota is used up",
        "As many free certificates as are allowed are in use.",
        "Account slots return on revocation or expiry, slots of a domain on expiry only. Wait, or choose a paid product.",
    ),
    about(
        "DIAG-28",
        "Not secure after deployment",
        "The certificate works; the page loads content over plain HTTP, or the browser cached the expired certificate.",
        "Reference all resources by https or without scheme, and clear the browser's cache.",
    ),
    about(
        "FAQ-01",
        "A quick-HTTPS plan is about to end",
        "Quick HTTPS is a service of its own, beside the certificates.",
        "Renew the plan, or point the name back to the origin (an A record for an address) before it ends.",
    ),
    about(
        "FAQ-02",
        "The connection is \"not secure\" although the certificate is deployed",
        "For the most part the page loads content over plain HTTP.",
        "Reference resources relatively or without scheme.",
    ),
    about(
        "FAQ-03",
        "Port 443",
        "HTTPS needs port 443. Some servers have it open by default; others need a rule of their security group.",
        "Open port 443 on the server and in its security group or firewall.",
    ),
    about(
        "FAQ-04",
        "IIS does not let the host name of a https binding be entered",
        "The field for the host is locked for https.",
        "Set the binding in the configuration file (`*:443:name`), then bind the certificate again.",
    ),
    about(
        "FAQ-05",
        "HTTPS is not secure after a certificate was applied for anew",
        "After an expiry the browser may keep the old certificate.",
        "Clear the browser's cache; better replace a certificate before its end.",
    ),
    about(
        "FAQ-06",
        "What happens when a certificate is not renewed",
        "Browsers warn of the site, what is sent to it is exposed, business is interrupted and lost, and search engines \
         rank it lower.",
        "Renew before the end.",
    ),
    about(
        "FAQ-07",
        "Is the certificate in effect?",
        "It is in effect when the name opens over https and the browser shows the lock.",
        "Open the name over https in a browser.",
    ),
    about(
        "FAQ-08",
        "Where is the chain?",
        "The chain of a certificate is shown by the browser as its certificate path.",
        "Open the lock, the certificate, and its path.",
    ),
    about(
        "FAQ-09",
        "How are the record and the file looked at?",
        "What validations see can be looked at with common tools.",
        "Ask `dig @119.29.29.29 NAME TXT` (or CNAME, CAA) for the record; fetch the file with `curl -k -v` or `wget -S`.",
    ),
    about(
        "FAQ-10",
        "What happens to a revoked certificate?",
        "It is put on the certificate revocation list (CRL), which browsers fetch to decide on trust.",
        "Replace it on every server: it is trusted no longer.",
    ),
    about(
        "INSTALL-07",
        "GlobalSign certificates and Windows 7",
        "GlobalSign has issued below a new intermediate since 2019-05-27; Windows 7 does not trust certificates issued \
         after that date.",
        "Add the cross certificate as the last block of the chain file for Nginx, and restart it.",
    ),
    about("INSTALL-09", "Regions", "No region limits where a certificate is installed.", ""),
    about(
        "INSTALL-10",
        "The server's address changed",
        "A changed address does not matter while the bound name still resolves to the server.",
        "Point the name to the new address.",
    ),
    about(
        "INSTALL-11",
        "TLS versions",
        "The certificate does not decide on TLS versions.",
        "Set them on the server, or in the console of the provider's cloud.",
    ),
    about("INSTALL-12", "WebSocket", "Certificates may be used for WebSocket services (wss) too.", ""),
    about(
        "INSTALL-13",
        "A server without a guide",
        "Where there is no guide for a server, installation services can be bought elsewhere.",
        "Ask the maker of the server, or a service for installations.",
    ),
    about(
        "LIMITS",
        "Rate limits and pauses",
        "So many requests, accounts, orders, failed validations and certificates are taken in a time from one address, \
         account, customer or domain. A refusal names the limit, its value, and in Retry-After the seconds until the same \
         request is taken. A name whose validations always fail is paused for the account.",
        "Come back when Retry-After says so; an operator can raise a limit for you. Paused names are unpaused by the link \
         in the refusal.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_explained_by_the_rule_that_it_cites_last() {
        for (sentence, expected) in [
            ("It returned status 404; 200 is needed. Its body is \"(x)\" (DIAG-02).", Some("DIAG-02")),
            ("Timed out (DIAG-13). Next try at 2026-11-21T12:00:00Z.", Some("DIAG-13")),
            ("\"x.invalid\" has 65 characters (DOM-11).", Some("DIAG-18")),
            ("This CSR already served order o (CSR-04, DIAG-19).", Some("DIAG-19")),
            ("The suffix is not for free ones (TLD-02).", Some("DIAG-17")),
            ("The list (WORD-01)", Some("DIAG-16")),
            ("No rule (at all).", None),
            ("An open end (DIAG-02", None),
        ] {
            assert_eq!(topic_of(sentence).map(|topic| topic.id), expected, "{sentence}");
        }
    }

    #[test]
    fn every_text_has_an_id_of_its_own() {
        let mut ids: Vec<&str> = TOPICS.iter().map(|topic| topic.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), TOPICS.len());
    }
}
