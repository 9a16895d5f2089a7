//! Alarm policies and their templates (NOTIFY-07 to NOTIFY-11): made, changed, removed.

use super::{Ra, settle};
use crate::domain::alarm::{AlarmPolicy, MonitoringType, Objects, PolicyType, Template};
use crate::domain::audit::Act;
use crate::domain::{AlarmId, ChannelId, CustomerId, Error, Result, TemplateId};
use crate::store::records::{Batch, Index, Rows, Stored, target};

/// How many policies, and templates, a customer has at most.
const MOST: usize = 100;

/// How many certificates a policy names at most; more are all.
const MOST_OBJECTS: usize = 500;

/// What a policy is to say.
#[derive(Debug, Clone)]
pub struct PolicyTerms {
    /// What it is called.
    pub name: String,
    /// What its owner says about it.
    pub remark: String,
    /// The project that it belongs to.
    pub project: String,
    /// Which certificates.
    pub objects: Objects,
    /// With fewer days left than these an alarm is raised.
    pub days: u32,
    /// Days between alarms; 0: one only.
    pub interval_days: u32,
    /// Whom it goes to; none: there is no template yet.
    pub template: Option<TemplateId>,
}

impl PolicyTerms {
    /// NOTIFY-08: the sample: fewer than 30 days left, looked at every minute, one message only.
    pub fn sample() -> Self {
        Self {
            name: "Certificates that end".to_owned(),
            remark: "Any condition, static threshold: fewer than 30 days left, one message".to_owned(),
            project: String::new(),
            objects: Objects::All,
            days: 30,
            interval_days: 0,
            template: None,
        }
    }

    /// What a policy says.
    pub fn of(policy: &AlarmPolicy) -> Self {
        let policy = policy.clone();
        Self {
            name: policy.name,
            remark: policy.remark,
            project: policy.project,
            objects: policy.objects,
            days: policy.days,
            interval_days: policy.interval_days,
            template: Some(policy.template),
        }
    }
}

impl Ra {
    /// Makes a policy.
    pub async fn create_alarm(&self, customer: &CustomerId, terms: PolicyTerms) -> Result<Stored<AlarmPolicy>> {
        self.customer(customer).await?;
        if self.alarms(customer).await?.len() >= MOST {
            return Err(Error::malformed(format!("A customer has {MOST} alarm policies at most; delete one first.")));
        }
        let id = AlarmId::random();
        settle(|| async {
            let now = self.now();
            let (policy, template) = self.policy_of(customer, &id, terms.clone(), now).await?;
            let act = Act::AlarmPolicyChanged { policy: id.clone() };
            let row = Index::AlarmOfCustomer(customer, &id);
            let batch = hold(Batch::of(act, now), &template).insert(&policy).claim(&row, id.as_str());
            Ok(self.records.commit(batch).await?)
        })
        .await?;
        self.look_again();
        self.alarm(&id).await
    }

    /// Has a policy say something else.
    pub async fn change_alarm(&self, id: &AlarmId, terms: PolicyTerms) -> Result<Stored<AlarmPolicy>> {
        settle(|| async {
            let read = self.alarm(id).await?;
            let (policy, template) = self.policy_of(&read.customer, id, terms.clone(), read.created).await?;
            let act = Act::AlarmPolicyChanged { policy: id.clone() };
            Ok(self.records.commit(hold(Batch::of(act, self.now()), &template).replace(&read, &policy)).await?)
        })
        .await?;
        self.look_again();
        self.alarm(id).await
    }

    async fn policy_of(
        &self,
        customer: &CustomerId,
        id: &AlarmId,
        terms: PolicyTerms,
        created: crate::domain::Timestamp,
    ) -> Result<(AlarmPolicy, Stored<Template>)> {
        let name = super::customers::named("policy", &terms.name)?;
        let note = |what: &str, text: &str| match text.chars().count() <= 500 && !text.chars().any(char::is_control) {
            true => Ok(text.trim().to_owned()),
            false => Err(Error::malformed(format!("The {what} has at most 500 characters and no control characters."))),
        };
        if !(1..=398).contains(&terms.days) || terms.interval_days > 398 {
            return Err(Error::malformed(format!(
                "\"days\" is {} and \"interval_days\" {}; the first is 1 to 398, the second 0 (one message only) to 398 \
                 (NOTIFY-07).",
                terms.days, terms.interval_days
            )));
        }
        if let Objects::These(these) = &terms.objects
            && (these.is_empty() || these.len() > MOST_OBJECTS)
        {
            return Err(Error::malformed(format!(
                "\"objects\" names 1 to {MOST_OBJECTS} certificates by their ids, or is left out for all (NOTIFY-09)."
            )));
        }
        let template = self.own_template(customer, terms.template).await?;
        let policy = AlarmPolicy {
            id: id.clone(),
            customer: customer.clone(),
            name,
            remark: note("remark", &terms.remark)?,
            monitoring_type: MonitoringType::SslCertificate,
            policy_type: PolicyType::ExpirationTime,
            project: note("project", &terms.project)?,
            objects: self.own_objects(customer, terms.objects).await?,
            days: terms.days,
            interval_days: terms.interval_days,
            template: template.id.clone(),
            created,
        };
        Ok((policy, template))
    }

    /// NOTIFY-10: a policy needs a template.
    async fn own_template(&self, customer: &CustomerId, asked: Option<TemplateId>) -> Result<Stored<Template>> {
        let Some(asked) = asked else {
            let told = match self.templates(customer).await?.is_empty() {
                true => "Create a template first: POST /api/v1/notification-templates (NOTIFY-10).",
                false => "Field \"template\" is missing: name one of GET /api/v1/notification-templates (NOTIFY-09).",
            };
            return Err(Error::malformed(told));
        };
        let found = self.records.find::<Template>(&asked).await?;
        found.filter(|template| template.customer == *customer).ok_or_else(|| {
            Error::not_found(format!(
                "There is no notification template {asked}. Create a template first: POST \
                 /api/v1/notification-templates (NOTIFY-10)."
            ))
        })
    }

    /// Only certificates of the customer.
    async fn own_objects(&self, customer: &CustomerId, objects: Objects) -> Result<Objects> {
        if let Objects::These(these) = &objects {
            let known = self.endings_of(customer).await?;
            if let Some(stranger) = these.iter().find(|id| !known.iter().any(|ending| ending.certificate == **id)) {
                let shown: String = stranger.chars().take(40).collect();
                return Err(Error::not_found(format!(
                    "This customer has no certificate \"{}\".",
                    shown.escape_debug()
                )));
            }
        }
        Ok(objects)
    }

    /// The policy of that id.
    pub async fn alarm(&self, id: &AlarmId) -> Result<Stored<AlarmPolicy>> {
        let found = self.records.find::<AlarmPolicy>(id).await?;
        found.ok_or_else(|| Error::not_found(format!("There is no alarm policy {id}.")))
    }

    /// A customer's policies.
    pub async fn alarms(&self, customer: &CustomerId) -> Result<Vec<AlarmPolicy>> {
        let rows = self.records.rows(&Rows::AlarmsOfCustomer(customer), None, 10 * MOST).await?;
        let ids = rows.iter().map(|(_, id)| target::<AlarmId>(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.records.find_all::<AlarmPolicy>(&ids).await?.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// Removes a policy.
    pub async fn delete_alarm(&self, id: &AlarmId) -> Result<()> {
        settle(|| async {
            let read = self.alarm(id).await?;
            let act = Act::AlarmPolicyDeleted { policy: id.clone() };
            let row = Index::AlarmOfCustomer(&read.customer, id);
            Ok(self.records.commit(Batch::of(act, self.now()).remove(&read).unindex(&row)).await?)
        })
        .await
    }

    /// Makes a template: whom alarms go to.
    pub async fn create_template(
        &self,
        customer: &CustomerId,
        name: &str,
        to: &[ChannelId],
    ) -> Result<Stored<Template>> {
        self.customer(customer).await?;
        if self.templates(customer).await?.len() >= MOST {
            return Err(Error::malformed(format!("A customer has {MOST} templates at most; delete one first.")));
        }
        let (id, now) = (TemplateId::random(), self.now());
        let template = Template {
            id: id.clone(),
            customer: customer.clone(),
            name: super::customers::named("template", name)?,
            recipients: self.own_channels(customer, to).await?,
            created: now,
        };
        let act = Act::TemplateChanged { template: id.clone() };
        let row = Index::TemplateOfCustomer(customer, &id);
        self.records.commit(Batch::of(act, now).insert(&template).claim(&row, id.as_str())).await?;
        self.template(&id).await
    }

    /// Changes a template; none stays as it is.
    pub async fn change_template(
        &self,
        id: &TemplateId,
        name: Option<&str>,
        to: Option<&[ChannelId]>,
    ) -> Result<Stored<Template>> {
        settle(|| async {
            let read = self.template(id).await?;
            let mut template = (*read).clone();
            if let Some(name) = name {
                template.name = super::customers::named("template", name)?;
            }
            if let Some(to) = to {
                template.recipients = self.own_channels(&read.customer, to).await?;
            }
            let act = Act::TemplateChanged { template: id.clone() };
            Ok(self.records.commit(Batch::of(act, self.now()).replace(&read, &template)).await?)
        })
        .await?;
        self.template(id).await
    }

    async fn own_channels(&self, customer: &CustomerId, asked: &[ChannelId]) -> Result<Vec<ChannelId>> {
        if asked.is_empty() {
            return Err(Error::malformed(
                "Field \"recipients\" is missing: name one or more channels of GET /api/v1/channels (NOTIFY-09).",
            ));
        }
        let own = self.channels(customer).await?;
        match asked.iter().find(|id| !own.iter().any(|channel| channel.id == **id)) {
            Some(stranger) => Err(Error::not_found(format!("There is no channel {stranger}."))),
            None => Ok(asked.to_vec()),
        }
    }

    /// The template of that id.
    pub async fn template(&self, id: &TemplateId) -> Result<Stored<Template>> {
        let found = self.records.find::<Template>(id).await?;
        found.ok_or_else(|| Error::not_found(format!("There is no notification template {id}.")))
    }

    /// A customer's templates.
    pub async fn templates(&self, customer: &CustomerId) -> Result<Vec<Template>> {
        let rows = self.records.rows(&Rows::TemplatesOfCustomer(customer), None, 10 * MOST).await?;
        let ids = rows.iter().map(|(_, id)| target::<TemplateId>(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.records.find_all::<Template>(&ids).await?.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// Removes a template that no policy uses.
    pub async fn delete_template(&self, id: &TemplateId) -> Result<()> {
        settle(|| async {
            let read = self.template(id).await?;
            if let Some(user) = self.alarms(&read.customer).await?.into_iter().find(|policy| policy.template == *id) {
                let told = format!("The alarm policy {} uses this template; give it another first.", user.id);
                return Err(Error::new(crate::domain::Kind::Conflict, told).into());
            }
            let act = Act::TemplateDeleted { template: id.clone() };
            let row = Index::TemplateOfCustomer(&read.customer, id);
            Ok(self.records.commit(Batch::of(act, self.now()).remove(&read).unindex(&row)).await?)
        })
        .await
    }
}

/// Writes the template of a policy anew, so that whoever deletes it at the same time is overtaken and sees the policy.
fn hold(batch: Batch, template: &Stored<Template>) -> Batch {
    batch.replace(template, template)
}
