//! Targets: the things of a site, their addresses and paths filled in.

use super::Compile;
use crate::address;
use crate::diagnostic::Diagnostic;
use crate::playbook::{BackupPolicy, MaintenanceBody, RequestBody, TargetBody};
use crate::target::{MaintenanceDef, POSTGRES, Request, TargetDef};
use crate::text::Template;

/// What a target can be.
const ONE_OF: &str = "`sqlite:`, `postgres:`, `file:`, `service:`, `http:`";

impl Compile<'_> {
    pub(super) fn target(&mut self, name: &str, body: &TargetBody) -> Option<TargetDef> {
        let kinds = [&body.sqlite, &body.file, &body.service, &body.http];
        let postgres = !body.postgres.is_empty();
        if kinds.into_iter().flatten().count() + usize::from(postgres) > 1 {
            self.out.push(
                Diagnostic::error("P013", format!("target `{name}` is several things"))
                    .help(format!("leave one of {ONE_OF}, and name the others as targets of their own")),
            );
            return None;
        }
        if postgres {
            return self.postgres(name, body);
        }
        self.stray_of_databases(body)?;
        self.stray_of_services(body)?;
        if let Some(path) = &body.sqlite {
            let made_by_us = body.made_by_us == Some(true);
            return Some(TargetDef::Sqlite { path: self.text(path)?, made_by_us });
        }
        if let Some(path) = &body.file {
            return Some(TargetDef::File { path: self.text(path)? });
        }
        self.stray_of_endpoint(body)?;
        if let Some(base) = &body.http {
            let maintenance = match &body.maintenance {
                Some(body) => Some(Box::new(self.maintenance(body)?)),
                None => None,
            };
            let served_by = body.served_by.as_ref().map(|name| name.value.clone());
            let base = self.url(base)?.trim_end_matches('/').to_owned();
            let component = body.component.as_ref().map(|name| name.value.clone());
            let accepts = body.accepts.iter().map(|name| name.value.clone()).collect();
            return Some(TargetDef::Http { base, served_by, maintenance, component, accepts });
        }
        let Some(service) = &body.service else {
            self.out.push(
                Diagnostic::error("P006", format!("target `{name}` does not say what it is"))
                    .help(format!("give it one of {ONE_OF}")),
            );
            return None;
        };
        let spec = self.whole(service)?;
        let old = body.old.as_ref().and_then(|identity| self.probe(&identity.is));
        let new = body.new.as_ref().and_then(|identity| self.probe(&identity.is));
        // What the site does not have, nothing is kept in.
        let there = body.stores.iter().filter(|store| !self.broken.contains(&store.value));
        let stores = there.map(|store| store.value.clone()).collect();
        let rehearse = body.rehearse.as_ref().and_then(|body| self.private(body)).map(Box::new);
        let entrance = body.entrance.unwrap_or(false);
        Some(TargetDef::Service { spec, stores, entrance, old, new, rehearse })
    }

    fn maintenance(&mut self, body: &MaintenanceBody) -> Option<MaintenanceDef> {
        Some(MaintenanceDef {
            enter: self.request(&body.enter)?,
            leave: self.request(&body.leave)?,
            is_on: self.probe(&body.is_on)?,
        })
    }

    fn request(&mut self, body: &RequestBody) -> Option<Request> {
        Some(Request { method: body.method.to_string().to_uppercase(), url: self.url(&body.url)? })
    }

    fn postgres(&mut self, name: &str, body: &TargetBody) -> Option<TargetDef> {
        let mut url = None;
        for template in body.postgres.iter() {
            if url.is_none() && self.is_given(template) {
                url = Some((self.text(template)?, template.span()));
            }
        }
        // None of the inputs is given: the target stays away, and what is about it leaves the plan.
        let (url, span) = url?;
        if address::holds_password(&url) {
            self.out.push(
                Diagnostic::error("P018", format!("the address of target `{name}` holds a password"))
                    .help("put it into ~/.pgpass or the environment (PGPASSWORD): what is in an address gets into plans and journals"),
            );
            return None;
        }
        if !address::is_address(&url) {
            self.out.push(
                Diagnostic::error("P017", format!("target `{name}` has no address of a PostgreSQL database"))
                    .at(span, "is not one")
                    .help("write `postgres://USER@HOST/DATABASE`, or `service=NAME`"),
            );
            return None;
        }
        let (mut schemas, mut schemas_sql) = (Vec::new(), None);
        for template in &body.schemas {
            match template.as_literal().filter(|text| text.ends_with(".sql")) {
                Some(_) if schemas_sql.is_some() => {
                    self.out.push(
                        Diagnostic::error(
                            "P013",
                            format!("several queries list the schemas of target `{name}`"),
                        )
                        .at(template.span(), "one more")
                        .help("join them with UNION into one file"),
                    );
                    return None;
                }
                Some(file) => schemas_sql = Some(self.sql(file, template.span())?),
                None => schemas.push(self.schema_name(template)?),
            }
        }
        schemas.sort();
        schemas.dedup();
        if schemas.is_empty() && schemas_sql.is_none() {
            self.out.push(
                Diagnostic::error("P006", format!("target `{name}` does not say which schemas it is about"))
                    .help("add `schemas:` with the names of the application's schemas, such as `[public]`"),
            );
            return None;
        }
        let (read_only, made_by_us) = (body.read_only == Some(true), body.made_by_us == Some(true));
        if read_only && made_by_us {
            self.out.push(
                Diagnostic::error(
                    "P013",
                    format!("target `{name}` is made by this upgrade and never written"),
                )
                .help("leave one of `read_only:` and `made_by_us:`"),
            );
            return None;
        }
        let without_backup = body.backup == Some(BackupPolicy::None);
        Some(TargetDef::Postgres { url, schemas, schemas_sql, read_only, made_by_us, without_backup })
    }

    fn schema_name(&mut self, template: &Template) -> Option<String> {
        let name = self.identifier(template)?;
        let reserved =
            ["switchback", "information_schema"].contains(&name.as_str()) || name.starts_with("pg_");
        if reserved {
            self.out.push(
                Diagnostic::error("P019", format!("`{name}` cannot be a schema of the application"))
                    .at(template.span(), "belongs to the server, or to switchback")
                    .help("name the schemas that the application keeps its tables in"),
            );
            return None;
        }
        Some(name)
    }

    /// Says which keys only an endpoint has.
    fn stray_of_endpoint(&mut self, body: &TargetBody) -> Option<()> {
        let span = body.component.as_ref().or(body.accepts.first()).map(|name| name.span);
        let Some(span) = span.filter(|_| body.http.is_none()) else { return Some(()) };
        self.out.push(
            Diagnostic::error("P013", "`component:` and `accepts:` belong to an HTTP endpoint")
                .at(span, "this target is none")
                .help("take them out, or say `http:`"),
        );
        None
    }

    /// Says which keys only a service has.
    fn stray_of_services(&mut self, body: &TargetBody) -> Option<()> {
        if body.rehearse.is_none() || body.service.is_some() {
            return Some(());
        }
        self.out.push(
            Diagnostic::error("P013", "`rehearse:` belongs to a service")
                .help("take `rehearse:` out, or say it at the service that is to run in a rehearsal"),
        );
        None
    }

    /// Says which keys only a database has, or only one of PostgreSQL: on another target they would be left out without a
    /// word.
    fn stray_of_databases(&mut self, body: &TargetBody) -> Option<()> {
        let of_any = body.made_by_us.is_some() && body.sqlite.is_none();
        let given = [
            ("schemas", !body.schemas.is_empty(), POSTGRES, "`postgres:`"),
            ("read_only", body.read_only.is_some(), POSTGRES, "`postgres:`"),
            ("made_by_us", of_any, "database", "`sqlite:` or `postgres:`"),
            ("backup", body.backup.is_some(), POSTGRES, "`postgres:`"),
        ];
        let Some((key, _, of, say)) = given.into_iter().find(|(_, given, ..)| *given) else {
            return Some(());
        };
        self.out.push(
            Diagnostic::error("P013", format!("`{key}:` belongs to a {of}"))
                .help(format!("take `{key}:` out, or say {say}")),
        );
        None
    }
}
