//! Quotes, for everybody: what so many names, or these names, cost.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Asked, Body, List, Shared};
use crate::domain::error::Named;
use crate::domain::money::CURRENCY;
use crate::domain::{Error, Identifier, Money};
use crate::ra::{NamesQuote, Quote, QuotedNames};

/// Most names of one request: more than any certificate has.
const MOST_NAMES: usize = 100;

#[derive(Serialize, ToSchema)]
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

/// One quote where a product was named, else one for each product that takes the names.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum QuotesObject {
    One(Box<QuoteObject>),
    All(List<QuoteObject>),
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    product: String,
    names: u32,
    years: Option<u32>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QuoteRequest {
    product: Option<String>,
    names: Option<u32>,
    identifiers: Option<Vec<String>>,
    years: Option<u32>,
}

/// What so many chargeable names of a product cost (PRICE-30).
#[utoipa::path(get, path = "/quotes", tag = "catalogue", params(Wanted), responses((status = 200, body = QuoteObject)))]
pub(super) async fn of_product(State(api): Shared, Asked(asked): Asked<Wanted>) -> Answer<Json<QuoteObject>> {
    Ok(Json(api.ra.quote(&asked.product, asked.names, asked.years)?.into()))
}

/// What these names cost: of one product, or of each that takes them.
#[utoipa::path(post, path = "/quotes", tag = "catalogue", request_body = QuoteRequest, responses((status = 200, body = QuotesObject)))]
pub(super) async fn of_names(State(api): Shared, Body(asked): Body<QuoteRequest>) -> Answer<Json<QuotesObject>> {
    let product = asked.product.as_deref();
    match (product, asked.names, asked.identifiers) {
        (Some(product), Some(names), None) => {
            Ok(Json(QuotesObject::One(Box::new(api.ra.quote(product, names, asked.years)?.into()))))
        }
        (_, None, Some(texts)) => {
            let mut quotes = api.ra.quote_names(product, &read(&texts, asked.years)?)?.into_iter().map(QuoteObject::from);
            Ok(match product.and_then(|_| quotes.next()) {
                Some(quote) => Json(QuotesObject::One(Box::new(quote))),
                None => Json(QuotesObject::All(List { items: quotes.collect(), next: None })),
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
