//! Procedures of the system that building and checking a link needs (mi-link 1.1, 1.2, 2.3).

use crate::sql::error::{Error, Result, of_world};
use crate::sql::ir::Column;
use crate::sql::session::{Permission, Session};
use crate::sql::statement::Argument;
use crate::sql::types::{Length, SYSNAME, Type};
use crate::sql::value::Value;
use crate::world::{Instance, World, setup::Certificate, setup::Change};

use super::expression::{finished, sent};
use super::{Step, one};

/// The number of the first certificate that somebody made, as `sys.certificates` counts them.
const FIRST_CERTIFICATE: i64 = 256;
/// `endpoint_type` of DATABASE_MIRRORING.
const MIRRORING: i64 = 4;

/// Runs a procedure of the system; nothing if it is another one.
pub(super) fn procedure(
    bare: &str,
    arguments: &[Argument],
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Option<Result<Step>> {
    let mut call = Call { arguments, world, at, session };
    Some(match bare.to_ascii_lowercase().as_str() {
        "sp_get_endpoint_certificate" => call.endpoint_certificate(),
        "sp_validate_certificate_ca_chain" => call.validate(),
        "sp_certificate_add_issuer" => call.add_issuer(),
        "sp_multidb_milink" => call.several(),
        _ => return None,
    })
}

struct Call<'c> {
    arguments: &'c [Argument],
    world: &'c mut World,
    at: &'c str,
    session: &'c mut Session,
}

impl Call<'_> {
    /// The public key of the endpoint for mirroring, on a managed instance.
    fn endpoint_certificate(&mut self) -> Result<Step> {
        self.administrator()?;
        let kind = self.number(0)?;
        let instance = self.world.instance(self.at);
        if !instance.is_some_and(Instance::is_managed) {
            return Err(no_procedure("sp_get_endpoint_certificate"));
        }
        let key = instance.and_then(|instance| instance.setup().endpoint_key.clone());
        let columns = vec![Column {
            name: "cert_blob".to_owned(),
            ty: Type::VarBinary(Length::Max),
            nullable: true,
        }];
        let key = key.filter(|_| kind == Some(MIRRORING));
        let rows = key.into_iter().map(|key| vec![Value::Bytes(key)]).collect();
        Ok(sent(self.session, columns, rows))
    }

    /// Whether a certificate of the other side can be trusted: it is there and valid.
    fn validate(&mut self) -> Result<Step> {
        self.administrator()?;
        let (name, certificate) = self.certificate()?;
        if certificate.expiry <= self.world.now() {
            let text = format!(
                "The certificate chain of '{name}' could not be validated: a required certificate \
                 is not within its validity period when verifying against the current system clock."
            );
            return Err(Error::new(47_105, 16, text));
        }
        Ok(finished(self.session, None))
    }

    /// From now on certificates of that issuer are trusted, for the names of managed instances.
    fn add_issuer(&mut self) -> Result<Step> {
        self.administrator()?;
        let (name, _) = self.certificate()?;
        let names = self.arguments.get(1).map(|given| &given.value);
        let names = names.map(|it| one(it, SYSNAME, self.world, self.at, self.session));
        let azure = |names: &str| names.eq_ignore_ascii_case("*.database.windows.net");
        if matches!(names.transpose()?, Some(Value::Text(names)) if azure(&names)) {
            // It was found just now.
            let _ = self.world.set_up(self.at, Change::Issuer(name));
        }
        Ok(finished(self.session, None))
    }

    /// Whether links may have several databases; only with no link can that be changed.
    fn several(&mut self) -> Result<Step> {
        let wanted = self.number(0)?;
        let Some(wanted) = wanted else {
            let on = self.world.takes_several(self.at);
            let columns = vec![Column { name: "value".to_owned(), ty: Type::Int, nullable: false }];
            return Ok(sent(self.session, columns, vec![vec![Value::Int(i64::from(on))]]));
        };
        self.administrator()?;
        let done = self.world.take_several(self.at, wanted != 0);
        done.map_err(|error| of_world(&error))?;
        Ok(finished(self.session, None))
    }

    fn administrator(&self) -> Result<()> {
        if self.session.may(Permission::ControlServer) {
            return Ok(());
        }
        Err(Error::new(15_247, 16, "User does not have permission to perform this action."))
    }

    fn number(&self, place: usize) -> Result<Option<i64>> {
        let Some(argument) = self.arguments.get(place) else { return Ok(None) };
        match one(&argument.value, Type::Int, self.world, self.at, self.session)? {
            Value::Int(number) => Ok(Some(number)),
            _ => Ok(None),
        }
    }

    /// The certificate that the first argument numbers.
    fn certificate(&self) -> Result<(String, Certificate)> {
        let number = self.number(0)?.unwrap_or(0);
        let certificates = self.world.instance(self.at).map(|found| &found.setup().certificates);
        let place = usize::try_from(number - FIRST_CERTIFICATE).ok();
        let found = certificates.zip(place).and_then(|(all, place)| all.iter().nth(place));
        found.map(|(name, certificate)| (name.clone(), certificate.clone())).ok_or_else(|| {
            let text = format!(
                "Cannot find the certificate with id {number}, because it does not exist or you do \
                 not have permission."
            );
            Error::new(15_151, 16, text)
        })
    }
}

fn no_procedure(name: &str) -> Error {
    Error::new(2812, 16, format!("Could not find stored procedure '{name}'.")).state(62)
}
