//! Who calls: bearer tokens, what each role may do, and what each sees.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::{self, Refusal};
use super::{Api, Shared, incidents, letters};
use crate::actor::{self, Actor};
use crate::domain::token::{Role, Token};
use crate::domain::{CustomerId, Error, Timestamp};
use crate::http::{LargeBodies, Peer};

/// What the log calls whoever has the token in the data directory.
const OPERATOR: &str = "operator";

/// Whoever sent the request: their token was recognised.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// What the operation log calls them.
    pub(super) name: String,
    pub(super) role: Role,
    /// When their token ends; none for never.
    pub(super) ends: Option<Timestamp>,
}

impl Caller {
    fn operator_of_this_server() -> Self {
        Self { name: OPERATOR.to_owned(), role: Role::Operator, ends: None }
    }

    /// Only for operators.
    pub(super) fn operator(&self) -> Result<(), Error> {
        match self.role {
            Role::Operator => Ok(()),
            Role::Reviewer | Role::Customer { .. } => Err(self.not_for("operators")),
        }
    }

    /// Only for reviewers, and operators.
    pub(super) fn reviewer(&self) -> Result<(), Error> {
        match self.role {
            Role::Operator | Role::Reviewer => Ok(()),
            Role::Customer { .. } => Err(self.not_for("reviewers and operators")),
        }
    }

    /// Only for this customer, and operators. To others it is as if what is the customer's were not there.
    pub(super) fn sees(&self, customer: &CustomerId) -> Result<(), Error> {
        self.sees_of(Some(customer))
    }

    /// The same of what may be nobody's: an account that is bound to no customer has only operators to look at it.
    pub(super) fn sees_of(&self, customer: Option<&CustomerId>) -> Result<(), Error> {
        match &self.role {
            Role::Operator => Ok(()),
            Role::Customer { customer: own } if Some(own) == customer => Ok(()),
            Role::Customer { .. } => Err(super::nothing_here()),
            Role::Reviewer => Err(self.not_for("customers and operators")),
        }
    }

    /// Whose objects a list shows: a customer's own, whatever is asked for; for operators those of the one asked for, or
    /// all.
    pub(super) fn scope(&self, asked: Option<CustomerId>) -> Result<Option<CustomerId>, Error> {
        match &self.role {
            Role::Operator => Ok(asked),
            Role::Customer { customer } if asked.as_ref().is_none_or(|asked| asked == customer) => {
                Ok(Some(customer.clone()))
            }
            Role::Customer { .. } => Err(super::nothing_here()),
            Role::Reviewer => Err(self.not_for("customers and operators")),
        }
    }

    /// Which customer something is done for: a customer's self; operators must name one.
    pub(super) fn acts_for(&self, asked: Option<CustomerId>) -> Result<CustomerId, Error> {
        self.scope(asked)?.ok_or_else(|| Error::malformed("Name the customer: \"customer\" is missing."))
    }

    fn not_for(&self, whom: &str) -> Error {
        Error::unauthorized(format!("This is for {whom}; your token has the role {}.", self.role.as_str()))
    }
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Refusal> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| Refusal(Error::internal("a handler asks who calls outside the layer that knows")))
    }
}

/// Lets nobody in without a token, and says who acts to everything below.
pub(super) async fn authorize(State(api): Shared, mut request: Request, next: Next) -> Response {
    let caller = match recognise(&api, bearer(request.headers())).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return problem::unauthenticated(),
        Err(error) => return Refusal(error).into_response(),
    };
    // The operator's own token is never locked out: it is needed to raise a limit.
    let limited = match &caller.role {
        Role::Customer { customer } => api.ra.admit_api_request(&caller.name, Some(customer)),
        Role::Operator | Role::Reviewer if caller.name == OPERATOR => Ok(()),
        Role::Operator | Role::Reviewer => api.ra.admit_api_request(&caller.name, None),
    };
    if let Err(error) = limited {
        return Refusal(error).into_response();
    }
    let from = request.extensions().get::<Peer>().map(|Peer(address)| address.ip());
    let actor = Actor { who: caller.name.clone(), from };
    request.extensions_mut().insert(caller);
    actor::acting(actor, next.run(request)).await
}

/// Letters of whoever has a token, and incidents of operators, may have larger bodies than other requests. Who sends them is
/// judged by the token alone, before the body is there.
pub fn large_bodies(api: Arc<Api>) -> LargeBodies {
    Arc::new(move |request| {
        let (most, operators_only) = match request.uri.path().strip_prefix("/api/v1")? {
            "/incidents" => (incidents::MOST_OCTETS, true),
            path if path.ends_with("/letter") => (letters::MOST_OCTETS, false),
            _ => return None,
        };
        let (api, token) = (api.clone(), bearer(&request.headers));
        Some(Box::pin(async move {
            let caller = recognise(&api, token).await.map_err(refused)?.ok_or_else(problem::unauthenticated)?;
            if operators_only {
                caller.operator().map_err(refused)?;
            }
            Ok(most)
        }))
    })
}

fn refused(error: Error) -> Response {
    Refusal(error).into_response()
}

/// What the request carries as `Authorization: Bearer ..`.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // RFC 9110 section 11.1: the scheme's case does not matter.
    let (scheme, token) = given?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.to_owned())
}

async fn recognise(api: &Api, token: Option<String>) -> Result<Option<Caller>, Error> {
    let Some(token) = token else { return Ok(None) };
    if api.operator.is(&token) {
        return Ok(Some(Caller::operator_of_this_server()));
    }
    let named = |token: &Token| format!("{} {} ({})", token.role.as_str(), token.id, token.name);
    let found = api.ra.whose_token(&token).await?;
    Ok(found.map(|token| Caller { name: named(&token), ends: token.expires, role: token.role }))
}
