//! Access tokens of the REST API: made, withdrawn, recognised.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::{Ra, settle};
use crate::domain::audit::Act;
use crate::domain::id::random_text;
use crate::domain::token::{Role, Token};
use crate::domain::{CustomerId, Error, Result, Timestamp, TokenId};
use crate::policy::catalog::days;
use crate::store::records::{Batch, Index, Rows, Stored};

/// What the text of every token begins with, so that it is recognised where it does not belong.
const MARK: &str = "chy_";

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Who gets it.
    pub name: String,
    /// What it lets them do.
    pub role: Role,
    /// Days until it ends; none for never.
    pub days: Option<u32>,
    /// When it ends at the latest, whatever the days; none for no such moment.
    pub latest: Option<Timestamp>,
}

impl Ra {
    /// Makes a token. Its text is shown this once: only the hash of its secret is kept.
    pub async fn create_token(&self, asked: NewToken) -> Result<(Token, Zeroizing<String>)> {
        if let Some(customer) = asked.role.customer() {
            self.customer(customer).await?;
        }
        let (now, secret) = (self.now(), Zeroizing::new(random_text::<32>()));
        let token = Token {
            id: TokenId::random(),
            name: super::customers::named("token", &asked.name)?,
            role: asked.role,
            sha256: hash(&secret),
            created: now,
            expires: asked.days.map(|count| now + days(count)).into_iter().chain(asked.latest).min(),
            revoked: None,
        };
        let (role, customer) = (token.role.as_str().to_owned(), token.role.customer().cloned());
        let act = Act::TokenCreated { token: token.id.clone(), role, customer };
        let batch = Batch::of(act, now).insert(&token);
        let batch = match token.role.customer() {
            Some(customer) => batch.index(&Index::TokenOfCustomer(customer, &token.id), token.id.as_str()),
            None => batch,
        };
        self.records.commit(batch).await?;
        let text = Zeroizing::new(format!("{MARK}{}.{}", token.id, *secret));
        Ok((token, text))
    }

    /// Up to `limit` tokens behind the one of that id.
    pub async fn tokens(&self, after: Option<&TokenId>, limit: usize) -> Result<Vec<Token>> {
        let found = self.records.list::<Token>(b"", after.map(|id| id.as_str().into()), limit).await?;
        Ok(found.into_iter().map(|token| token.into_value()).collect())
    }

    /// Up to `limit` tokens of a customer behind the one of that id.
    pub async fn tokens_of(&self, customer: &CustomerId, after: Option<&TokenId>, limit: usize) -> Result<Vec<Token>> {
        let after = after.map(|id| Index::TokenOfCustomer(customer, id).id());
        let rows = self.records.rows(&Rows::TokensOfCustomer(customer), after, limit).await?;
        let found = self.records.find_all::<Token>(rows.into_iter().map(|(_, id)| id)).await?;
        Ok(found.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// The token of that id.
    pub async fn token(&self, id: &TokenId) -> Result<Token> {
        let found = self.records.find::<Token>(id).await?;
        Ok(found.ok_or_else(|| Error::not_found("There is no such token."))?.into_value())
    }

    /// Withdraws a token, at once and for good.
    pub async fn revoke_token(&self, id: &TokenId) -> Result<Token> {
        settle(|| async {
            let read = self.records.find::<Token>(id).await?;
            let read = read.ok_or_else(|| Error::not_found("There is no such token."))?;
            let now = self.now();
            let token = Token { revoked: read.revoked.or(Some(now)), ..(*read).clone() };
            let act = Act::TokenRevoked { token: id.clone() };
            self.records.commit(Batch::of(act, now).replace(&read, &token)).await?;
            Ok(token)
        })
        .await
    }

    /// Whose token this text is, if it is one that is in use.
    pub async fn whose_token(&self, text: &str) -> Result<Option<Token>> {
        let parts = text.strip_prefix(MARK).and_then(|rest| rest.split_once('.'));
        let Some((Ok(id), secret)) = parts.map(|(id, secret)| (id.parse::<TokenId>(), secret)) else {
            return Ok(None);
        };
        let found = self.records.find::<Token>(&id).await?;
        let is = |token: &Token| verify_slices_are_equal(&hash(secret), &token.sha256).is_ok();
        Ok(found.map(|token| token.into_value()).filter(|token| is(token) && token.usable(self.now())))
    }
}

fn hash(secret: &str) -> [u8; 32] {
    digest(&SHA256, secret.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 octets")
}
