//! Statements that change how the server is set up, and the one that shows its trace flags.

use crate::sql::error::{Error, Result};
use crate::sql::session::{Permission, Session};
use crate::world::{
    World,
    setup::{Change, LoginChange, Setup},
};

use super::Step;
use super::expression::finished;

/// Changes it, if the session may and what is named is there.
pub(super) fn change(
    changes: Vec<Change>,
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Result<Step> {
    let of_logins = !changes.is_empty() && changes.iter().all(alters_login);
    if of_logins && !session.may(Permission::AlterAnyLogin) {
        let text =
            "Cannot alter the login, because it does not exist or you do not have permission.";
        return Err(Error::new(15_151, 16, text));
    }
    if !of_logins && !session.may(Permission::ControlServer) {
        return Err(Error::new(15247, 16, "User does not have permission to perform this action."));
    }
    for change in changes {
        check(&change, world, at)?;
        let missing = |error: crate::world::UnknownName| Error::new(15151, 16, error.to_string());
        world.set_up(at, change).map_err(missing)?;
    }
    Ok(finished(session, None))
}

/// ALTER LOGIN, but no GRANT.
fn alters_login(change: &Change) -> bool {
    matches!(
        change,
        Change::Login { change: LoginChange::Refused(_) | LoginChange::Password(_), .. }
    )
}

fn check(change: &Change, world: &World, at: &str) -> Result<()> {
    let Some(setup) = world.instance(at).map(|found| found.setup()) else { return Ok(()) };
    let named =
        |wanted: &str| setup.certificates.keys().any(|found| found.eq_ignore_ascii_case(wanted));
    let absent = |name: &str| {
        let text = format!(
            "Cannot find the certificate '{name}', because it does not exist or you do not have \
             permission."
        );
        Err(Error::new(15151, 16, text))
    };
    let named_by = match change {
        Change::Certificate { name, own, .. } => Some((name, *own)),
        Change::Imported { name, .. } => Some((name, false)),
        _ => None,
    };
    if let Some((name, own)) = named_by {
        if own && !setup.master_key {
            let text = "Please create a master key in the database or open the master key in the \
                        session before performing this operation.";
            return Err(Error::new(15581, 16, text));
        }
        if named(name) {
            let text = format!(
                "A certificate with name '{name}' already exists or this certificate already has \
                 been added to the database."
            );
            return Err(Error::new(15232, 16, text));
        }
    }
    check_credential(change, setup)?;
    check_login(change, world, at)?;
    if let Change::NoCertificate(name) = change
        && !named(name)
    {
        return absent(name);
    }
    if let Change::Endpoint(endpoint) = change {
        if let Some(name) = endpoint.certificate.as_deref().filter(|name| !named(name)) {
            return absent(name);
        }
        let there = setup.endpoint.as_ref();
        if !endpoint.create
            && there.is_none_or(|found| !found.name.eq_ignore_ascii_case(&endpoint.name))
        {
            let text = format!(
                "Cannot find the endpoint '{}', because it does not exist or you do not have \
                 permission.",
                endpoint.name
            );
            return Err(Error::new(15151, 16, text));
        }
    }
    Ok(())
}

fn check_credential(change: &Change, setup: &Setup) -> Result<()> {
    let credential =
        |wanted: &str| setup.credentials.keys().any(|found| found.eq_ignore_ascii_case(wanted));
    let missing = |verb: &str, name: &str| {
        let text = format!(
            "Cannot {verb} the credential '{name}', because it does not exist or you do not have \
             permission."
        );
        Err(Error::new(15_151, 16, text))
    };
    if let Change::Credential { name, alter, .. } = change {
        match (alter, credential(name)) {
            (false, true) => {
                let text = format!("The credential with name \"{name}\" already exists.");
                return Err(Error::new(15_530, 16, text));
            }
            (true, false) => return missing("alter", name),
            (false, false) | (true, true) => {}
        }
    }
    if let Change::NoCredential(name) = change
        && !credential(name)
    {
        return missing("drop", name);
    }
    Ok(())
}

fn check_login(change: &Change, world: &World, at: &str) -> Result<()> {
    if let Change::Login { login, .. } = change {
        let known = world.logins(at);
        let is = |name: &str| name.eq_ignore_ascii_case(login);
        // A world without doors knows of no logins.
        if !known.is_empty() && !is("sa") && !known.iter().any(|own| is(&own.name)) {
            let text = format!(
                "Cannot alter the login '{login}', because it does not exist or you do not have \
                 permission."
            );
            return Err(Error::new(15_151, 16, text));
        }
    }
    Ok(())
}
