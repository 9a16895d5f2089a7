//! From a product as it is written to the product that it is: what brand, type and settings decide, and its ceilings.

use std::collections::BTreeMap;

use super::file::{NO_ID, ProductForm, Sections, TypeForm, WindowForm, is_domain, is_id};
use super::{Catalog, Class, FreeNames, NameRules, Product, Sale, Shape, ceiling};
use crate::domain::csr::SubjectKey;
use crate::domain::plan::Method;
use crate::domain::{Identifier, Money};
use crate::policy::fault::Fault;
use crate::policy::renewal::WindowRule;
use crate::policy::settings::{KeyPolicy, WordOutcome};

impl Sections {
    /// A product with everything that brand, type and settings decide. What is missing or too much becomes a fault; none if
    /// that leaves no product. `whole`: whether every section could be read.
    pub(super) fn settle(
        &self,
        form: ProductForm,
        place: usize,
        whole: bool,
        faults: &mut Vec<Fault>,
    ) -> Option<Product> {
        let before = faults.len();
        self.check(&form, place, whole, faults);
        let documented = form.class != Class::Private;
        let brand = form.brand.as_ref().and_then(|id| self.brands.get(id));
        let none = TypeForm::default();
        let kind = self.types.get(&form.class).unwrap_or(&none);
        let settings = &self.settings;
        let cap = |days: u32| if documented { days.min(settings.max_validity_days) } else { days };
        let stated_days = form.validity_days.or(kind.validity_days.map(cap));
        let validity_days = stated_days.unwrap_or_else(|| cap(most_days(form.class)));
        let retained = brand.map_or(0, |brand| brand.retained_days);
        let names = self.names(&form);
        let sale = match (form.class, form.price) {
            (Class::Private, None) => Sale::Open,
            (Class::DvFree, _) => Sale::Free,
            (_, Some(price)) => Sale::Paid(price),
            (_, None) => Sale::Unpriced,
        };
        let mut keys = form.keys.unwrap_or_else(|| kind.keys.clone());
        // CAT-13, KEY-01, X-09: SM2 besides, for what follows the national standard.
        if brand.is_some_and(|brand| brand.national_standard) && !keys.contains(&SubjectKey::Sm2) {
            keys.push(SubjectKey::Sm2);
        }
        if documented && settings.key_policy == KeyPolicy::Rsa2048Only {
            keys.retain(|key| *key == SubjectKey::Rsa2048);
        }
        let mut methods = form.methods.unwrap_or_else(|| kind.methods.clone());
        // where files need a cloud resource, nobody has one here.
        if documented && settings.file_needs_cloud_resource {
            methods.retain(|method| *method != Method::Http01);
        }
        let notices = brand.map(|brand| &brand.notices).into_iter().chain([&kind.notices]);
        let product = Product {
            id: form.id,
            title: form.title,
            url: form.url,
            class: form.class,
            shape: form.shape,
            sale,
            unsignable: false,
            separate: None,
            issuer: form.issuer.or_else(|| brand.map(|brand| brand.issuer.clone())).unwrap_or_default(),
            // Design decision 1: what is paid for needs a customer.
            bound_accounts_only: form.bound_accounts_only || matches!(sale, Sale::Paid(_)),
            names,
            free_names: FreeNames {
                neutral: documented,
                ..brand.and_then(|brand| brand.free_names).unwrap_or_default()
            },
            keys,
            unique_keys: documented && settings.csr_unique_per_order,
            methods,
            deadline_days: documented.then_some(settings.dns_record_deadline_days),
            term_days: cap(kind.term_days.unwrap_or(validity_days).min(validity_days)),
            validity_days,
            renewed_validity_days: match (form.class, stated_days) {
                (Class::Private | Class::DvFree, _) | (_, Some(_)) => validity_days,
                (_, None) => settings.max_validity_days_renewed,
            },
            years: form.years,
            validation_reuse_days: form.validation_reuse_days.unwrap_or(retained),
            reissue_reuse_days: if kind.retained_for_reissue { settings.validation_reuse_days } else { retained },
            reissue_fresh_days: match form.class {
                // VAL-35: paid DV of all brands, OV and EV of some.
                Class::Private | Class::DvFree => 0,
                Class::Dv => settings.reissue_fresh_days,
                _ if brand.is_some_and(|brand| brand.fresh_reissues) => settings.reissue_fresh_days,
                _ => 0,
            },
            caa_identities: form
                .caa_identities
                .unwrap_or_else(|| brand.map(|brand| brand.caa_identities.clone()).unwrap_or_default()),
            caa_mode: if documented { settings.caa_mode } else { Default::default() },
            common_name: form.common_name.unwrap_or(kind.common_name),
            words: match documented {
                true => settings.word_scope.get(&form.class).copied().unwrap_or(WordOutcome::None),
                false => WordOutcome::None,
            },
            notices: notices.flatten().cloned().collect(),
            renewal: match form.renewal_window {
                Some(WindowForm { opens_days: opens, closes_days: closes }) => Some(WindowRule::Days { opens, closes }),
                None => documented.then_some(WindowRule::Documented(settings.renewal_window_days)),
            },
            basis: form.basis,
            brand: form.brand,
        };
        product.check(place, faults);
        (faults.len() == before).then_some(product)
    }

    fn names(&self, form: &ProductForm) -> NameRules {
        let wildcard = matches!(form.shape, Shape::Wildcard | Shape::MultiWildcard);
        let brand = form.brand.as_ref().and_then(|id| self.brands.get(id));
        let most = form.names.map_or(ceiling::NAMES, |names| names.max);
        match form.shape {
            Shape::Any => form.names.unwrap_or(NameRules { max: 1, wildcard: false, ip: false }),
            // IP-01: wildcard and multi-wildcard never take addresses.
            shape => NameRules {
                max: if matches!(shape, Shape::Single | Shape::Wildcard) { 1 } else { most },
                wildcard,
                // without files nothing proves an address (RFC 8738 section 7).
                ip: !wildcard
                    && !self.settings.file_needs_cloud_resource
                    && brand.is_some_and(|brand| self.takes_ip(brand, form.class)),
            },
        }
    }

    /// What a product's own lines must say.
    fn check(&self, form: &ProductForm, place: usize, whole: bool, faults: &mut Vec<Fault>) {
        let mut demand = |holds: bool, key: &str, reason: String| {
            if !holds {
                faults.push(Fault::new(format!("products[{place}].{key}"), reason));
            }
        };
        let documented = form.class != Class::Private;
        let brand = form.brand.as_ref().and_then(|id| self.brands.get(id));
        if let (Some(id), None, true) = (&form.brand, brand, whole) {
            // CAT-01
            let known = self.brands.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            demand(false, "brand", format!("there is no brand \"{id}\"; it is one of {known} (CAT-01)"));
        }
        let issuer = form.issuer.is_some() || form.brand.is_some();
        demand(issuer, "issuer", "name one of [ca] issuers".to_owned());
        let listed = form.keys.as_ref().or(self.types.get(&form.class).map(|kind| &kind.keys));
        let sm2 = listed.is_some_and(|keys| keys.contains(&SubjectKey::Sm2));
        let national = brand.is_some_and(|brand| brand.national_standard);
        demand(
            !sm2 || national || !whole,
            "keys",
            "SM2 keys are for brands of the national standard (CAT-13)".to_owned(),
        );
        if !documented {
            demand(form.shape == Shape::Any, "shape", "a product with a shape needs a type".to_owned());
            demand(form.names.is_some(), "names", "say what names it takes, as in { max = 1 }".to_owned());
            let days = format!("say how many days its certificates are valid, {} at most", ceiling::VALIDITY_DAYS);
            let given = form.validity_days.is_some_and(|days| (1..=ceiling::VALIDITY_DAYS).contains(&days));
            return demand(given, "validity_days", days);
        }
        demand(form.brand.is_some(), "brand", format!("a product of type {} needs a brand", form.class));
        demand(
            form.shape != Shape::Any,
            "shape",
            "a product with a type needs one: single, multi, wildcard or multi-wildcard (CAT-06)".to_owned(),
        );
        let names = form.names.unwrap_or(NameRules { max: 1, wildcard: false, ip: false });
        let several = matches!(form.shape, Shape::Multi | Shape::MultiWildcard);
        demand(several || names.max == 1, "names.max", format!("a product for {} takes one", form.shape));
        let derived = !names.wildcard && !names.ip;
        demand(derived, "names", "the shape and the IP matrix decide over wildcards and addresses".to_owned());
        // CAT-07: a file can't make the free certificate more than it is.
        let free = form.class == Class::DvFree;
        demand(
            !free || form.shape == Shape::Single,
            "shape",
            "a free certificate covers one ordinary name: \"single\" (CAT-07)".to_owned(),
        );
        let costs = form.price.is_some_and(|price| price.base.cents() > 0 || price.extra.is_some());
        demand(!free || !costs, "price", "the free type has no price (PRICE-14)".to_owned());
        // CAT-09, EV Guidelines 3.2.2.4: no wildcards.
        let wildcard = matches!(form.shape, Shape::Wildcard | Shape::MultiWildcard);
        let extended = matches!(form.class, Class::Ev | Class::EvPro);
        demand(!(wildcard && extended), "shape", format!("{} is not sold for wildcard names (CAT-09)", form.class));
        let most = self.settings.max_validity_days.min(most_days(form.class));
        if let Some(days) = form.validity_days {
            let told = format!("{days} is not between 1 and {most}, the most that settings and type allow");
            demand((1..=most).contains(&days), "validity_days", told);
        }
        if form.class.needs_organisation() && whole {
            let flow = brand.and_then(|brand| brand.review_flow.as_ref());
            let told = "its brand's \"review_flow\" must name one of [review.flows], because people review it";
            demand(flow.is_some_and(|flow| self.has_flow(flow)), "brand", told.to_owned());
        }
    }
}

/// Most days of any certificate of that type.
pub(super) fn most_days(class: Class) -> u32 {
    match class {
        Class::Private => ceiling::VALIDITY_DAYS,
        // VALIDITY-03: a free certificate runs one year.
        Class::DvFree => ceiling::FREE_DAYS,
        Class::Dv | Class::Ov | Class::OvPro | Class::Ev | Class::EvPro => ceiling::PUBLIC_DAYS,
    }
}

/// For each product for several names, the one of the same brand and type for one such name, and its price (PRICE-36).
pub(super) fn separate_products(catalog: &Catalog) -> BTreeMap<String, (String, Money)> {
    let one = |shape: Shape| match shape {
        Shape::Multi => Some(Shape::Single),
        Shape::MultiWildcard => Some(Shape::Wildcard),
        Shape::Any | Shape::Single | Shape::Wildcard => None,
    };
    let twin = |product: &Product| {
        let shape = one(product.shape)?;
        catalog.products().find_map(|other| match other.sale {
            Sale::Paid(price)
                if (other.shape, other.class) == (shape, product.class) && other.brand == product.brand =>
            {
                Some((other.id.clone(), price.base))
            }
            _ => None,
        })
    };
    catalog.products().filter_map(|product| Some((product.id.clone(), twin(product)?))).collect()
}

impl Product {
    /// The ceilings, and what goes with what.
    fn check(&self, place: usize, faults: &mut Vec<Fault>) {
        let mut demand = |holds: bool, key: &str, reason: String| {
            if !holds {
                faults.push(Fault::new(format!("products[{place}].{key}"), reason));
            }
        };
        demand(is_id(&self.id), "id", format!("\"{}\" {NO_ID}", self.id));
        demand(
            (1..=ceiling::NAMES).contains(&self.names.max),
            "names.max",
            format!("{} is not between 1 and {}", self.names.max, ceiling::NAMES),
        );
        demand(!self.keys.is_empty(), "keys", "name at least one kind of key".to_owned());
        demand(!self.methods.is_empty(), "methods", "name at least one validation method".to_owned());
        demand(
            !self.names.wildcard || self.methods.contains(&Method::Dns01),
            "methods",
            "wildcard names need dns-01 (VAL-08)".to_owned(),
        );
        let address = Identifier::Ip(std::net::Ipv4Addr::LOCALHOST.into());
        demand(
            !self.names.ip || !self.methods_for(&address).is_empty(),
            "methods",
            "IP addresses need http-01 or tls-alpn-01 (RFC 8738)".to_owned(),
        );
        demand(
            self.validation_reuse_days <= ceiling::REUSE_DAYS,
            "validation_reuse_days",
            format!("{} is more than {}", self.validation_reuse_days, ceiling::REUSE_DAYS),
        );
        demand(
            !self.years.is_empty() && self.years.iter().all(|years| (1..=ceiling::YEARS).contains(years)),
            "years",
            format!("{:?} is not a list of 1 to {} (BUY-06)", self.years, ceiling::YEARS),
        );
        if let Sale::Paid(price) = &self.sale {
            demand(price.base.cents() > 0, "price.base", "a paid product costs something".to_owned());
            demand(price.included >= 1, "price.included", "at least one name is included".to_owned());
            demand(
                price.included as usize <= self.names.max,
                "price.included",
                format!("{} names are included, and it takes {}", price.included, self.names.max),
            );
            let several = !matches!(self.shape, Shape::Single | Shape::Wildcard);
            demand(
                several || price.extra.is_none(),
                "price.extra",
                format!("a product for {} has no further names", self.shape),
            );
        }
        if let Some(WindowRule::Days { opens, closes }) = self.renewal {
            demand(
                closes < opens && opens < self.validity_days,
                "renewal_window",
                format!(
                    "it opens {opens} days before the end and closes {closes} days before it; it must open before it closes, \
                     and less than validity_days ({}) before the end",
                    self.validity_days
                ),
            );
        }
        for identity in &self.caa_identities {
            demand(is_domain(identity), "caa_identities", format!("\"{identity}\" is not a lower-case domain name"));
        }
    }
}
