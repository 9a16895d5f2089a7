//! Quotes, for everybody: what so many names, or these names, cost.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Answer, Asked, Body, List, Shared};
use crate::domain::error::Named;
use crate::domain::money::CURRENCY;
use crate::domain::{Error, Identifier, Money};
use crate::ra::{NamesQuote, Quote, QuotedNames};

/// Most names of one request: more than any certificate has.
const MOST_NAMES: usize = 100;

#[derive(Serialize)]
pub(super) struct QuoteObject {
    product: String,
    names: u32,
    years: u32,
    base: Money,
    included: u32,
    additional: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Money>,
    yearly: Money,
    total: Money,
    currency: &'static str,
    /// Which of the names are charged, where they were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    charged: Option<Vec<Identifier>>,
    /// Which of the names come free with those.
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<Vec<Identifier>>,
    notes: Vec<String>,
}

impl From<Quote> for QuoteObject {
    fn from(quote: Quote) -> Self {
        Self {
            product: quote.product,
            names: quote.names,
            years: quote.years,
            base: quote.base,
            included: quote.included,
            additional: quote.additional,
            extra: quote.extra,
            yearly: quote.yearly,
            total: quote.total,
            currency: CURRENCY,
            charged: None,
            free: None,
            notes: quote.notes,
        }
    }
}

impl From<NamesQuote> for QuoteObject {
    fn from(NamesQuote { quote, counted }: NamesQuote) -> Self {
        Self { charged: Some(counted.charged), free: Some(counted.free), ..quote.into() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    product: String,
    names: u32,
    years: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuoteRequest {
    product: Option<String>,
    names: Option<u32>,
    identifiers: Option<Vec<String>>,
    years: Option<u32>,
}

pub(super) async fn of_product(State(api): Shared, Asked(asked): Asked<Wanted>) -> Answer<Json<QuoteObject>> {
    Ok(Json(api.ra.quote(&asked.product, asked.names, asked.years)?.into()))
}

pub(super) async fn of_names(State(api): Shared, Body(asked): Body<QuoteRequest>) -> Answer<Response> {
    let product = asked.product.as_deref();
    match (product, asked.names, asked.identifiers) {
        (Some(product), Some(names), None) => {
            Ok(Json(QuoteObject::from(api.ra.quote(product, names, asked.years)?)).into_response())
        }
        (_, None, Some(texts)) => {
            let mut quotes = api.ra.quote_names(product, &read(&texts, asked.years)?)?.into_iter().map(QuoteObject::from);
            Ok(match product.and_then(|_| quotes.next()) {
                Some(quote) => Json(quote).into_response(),
                None => Json(List { items: quotes.collect(), next: None }).into_response(),
            })
        }
        _ => Err(Error::malformed(
            "Give \"product\" and \"names\" (how many are charged), or \"identifiers\" (which), with or without \"product\".",
        )
        .into()),
    }
}

/// Names as people write them: what is an address is one.
fn read(texts: &[String], years: Option<u32>) -> Result<QuotedNames, Error> {
    if texts.len() > MOST_NAMES {
        return Err(Error::malformed(format!("{} identifiers are given; at most {MOST_NAMES} are read.", texts.len())));
    }
    let mut asked = QuotedNames { identifiers: Vec::new(), unread: Vec::new(), years };
    for text in texts {
        let kind = if text.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
        match Identifier::parse(kind, text) {
            Ok(name) => asked.identifiers.push(name),
            Err(error) => {
                let named = Named { r#type: kind.to_owned(), value: text.chars().take(260).collect() };
                asked.unread.push(error.into_problem().of(named));
            }
        }
    }
    Ok(asked)
}
