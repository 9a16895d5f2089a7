//! Whatever octets come to the responder: no panic, and the answer is an OCSPResponse.

use std::sync::OnceLock;

use axum::Router;
use chancery::ca::ocsp::{MAX_REQUEST, Request};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::ocsp_tools::*;
use crate::support::world::World;

/// A server for all cases, and a request that it answers with a signature.
struct Place {
    runtime: Runtime,
    _world: World,
    router: Router,
    request: Vec<u8>,
}

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let world = runtime.block_on(World::with(|config| config.ca.rsa_issuers = false));
        let ids = [[1], [2]].map(|serial| cert_id(&issuer(&world, "chancery"), &serial, SHA1));
        let request = request_with(&ids, &nonce(&[7; 32]));
        Place { runtime, router: world.pki(), _world: world, request }
    })
}

/// Both methods say the same, and it is an answer.
fn answered(octets: &[u8]) -> Answer {
    let place = place();
    place.runtime.block_on(ask(&place.router, octets))
}

proptest! {
    #[test]
    fn random_octets_are_answered(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        let answer = answered(&octets);
        prop_assert_eq!(answer.code == MALFORMED, Request::parse(&octets).is_err());
    }

    #[test]
    fn changed_requests_are_answered(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        insert in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut octets = place().request.clone();
        for (at, octet) in changes {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        let at = cut.index(octets.len());
        octets.splice(at..at, insert);
        let answer = answered(&octets);
        prop_assert_eq!(answer.code == MALFORMED, Request::parse(&octets).is_err());
    }

    #[test]
    fn random_elements_are_answered(
        tags in proptest::collection::vec(
            prop_oneof![Just(0x30_u8), Just(0xa0), Just(0xa2), Just(0x04), Just(0x02), any::<u8>()],
            0..60,
        ),
        inner in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let octets = tags.into_iter().fold(inner, |inner, tag| der(tag, &[&inner]));
        prop_assert!(octets.len() <= MAX_REQUEST);
        let answer = answered(&octets);
        prop_assert_eq!(answer.code == MALFORMED, Request::parse(&octets).is_err());
    }

    #[test]
    fn random_paths_are_answered(path in "[!-~&&[^?#]]{0,200}") {
        let place = place();
        // What no URI may hold is another slash.
        let path = path.replace(['"', '<', '>', '\\', '^', '`', '{', '|', '}'], "%2F");
        let (_, body) = place.runtime.block_on(get_path(&place.router, &path));
        Answer::read(&body);
    }
}
