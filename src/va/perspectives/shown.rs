//! What of the evidence is told to customers: which perspectives there are, where they are and what each saw is this CA's own.

/// How the lines begin that tell what a perspective answered; what it saw stands behind each.
pub(super) const PERSPECTIVE: &str = "perspective ";

/// How the line begins that tells how many agreed; it is the last about perspectives.
pub(super) const QUORUM: &str = "quorum ";

/// Evidence without the answers of perspectives: of them it is told how many corroborated.
pub fn for_customers(evidence: &[String]) -> Vec<String> {
    let mut told = Vec::new();
    let mut answers = false;
    for line in evidence {
        if line.starts_with(PERSPECTIVE) {
            answers = true;
        } else if let Some((seen, count)) = agreement(line) {
            answers = false;
            told.push(format!("corroborated by {seen} of {count} remote perspectives"));
        } else if !answers {
            told.push(line.clone());
        }
    }
    told
}

/// How many of how many corroborated, if that is what a line tells.
fn agreement(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix(QUORUM)?.split(' ').next()?.split_once('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_what_was_seen_elsewhere_are_left_out() {
        let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        let seen = lines(&[
            "A a.example: 192.0.2.1",
            "perspective one (arin) on a.example: corroborates",
            "one: A a.example: 192.0.2.1",
            "perspective two (apnic) on a.example: no answer: Connection refused",
            "quorum 1/2 on a.example (validate): missed (at most 1 may fail, and 2 regions must agree)",
            "CAA a.example: none",
        ]);
        let shown = ["A a.example: 192.0.2.1", "corroborated by 1 of 2 remote perspectives", "CAA a.example: none"];
        assert_eq!(for_customers(&seen), shown);
        assert_eq!(for_customers(&seen[..3]), shown[..1], "also where the rest was cut off");
        assert_eq!(for_customers(&seen[..1]), shown[..1]);
    }
}
