//! Exact decimals: `numeric(p, s)` up to 38 digits, as a scaled `i128`.

use std::cmp::Ordering;
use std::fmt;

use super::error::{Error, Result, divide_by_zero};

/// The most digits that `numeric` can hold.
pub(crate) const MAX_PRECISION: u8 = 38;

/// A decimal number: `units` divided by ten to the `scale`.
///
/// Precision belongs to the type, not to the value.
#[derive(Clone, Copy, Debug, Eq)]
pub struct Numeric {
    /// The number without its decimal point; at most 38 digits.
    pub units: i128,
    /// Digits after the decimal point.
    pub scale: u8,
}

impl Numeric {
    pub(crate) fn new(units: i128, scale: u8) -> Numeric {
        Numeric { units, scale }
    }

    /// The same number with another scale, rounded half away from zero, if it has at most
    /// `precision` digits then.
    pub(crate) fn rescale(self, precision: u8, scale: u8) -> Option<Numeric> {
        let units = if scale >= self.scale {
            self.units.checked_mul(power_of_ten(scale - self.scale)?)?
        } else {
            div_round(self.units, power_of_ten(self.scale - scale)?)
        };
        (units.unsigned_abs() < power_of_ten(precision)?.unsigned_abs())
            .then_some(Numeric { units, scale })
    }

    /// The units that the number has at another scale.
    pub(crate) fn rescaled(self, scale: u8) -> i128 {
        self.rescale(MAX_PRECISION, scale).map_or(self.units, |n| n.units)
    }

    /// The whole part, cut towards zero.
    pub(crate) fn truncate(self) -> i128 {
        self.units / power_of_ten(self.scale).unwrap_or(i128::MAX)
    }

    pub(crate) fn to_f64(self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// Reads `-12.50`; the scale is the number of digits after the point.
    pub(crate) fn parse(text: &str) -> Option<Numeric> {
        let text = text.trim();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut units: i128 = 0;
        for digit in whole.chars().chain(fraction.chars()) {
            let digit = digit.to_digit(10)?;
            units = units.checked_mul(10)?.checked_add(i128::from(digit))?;
        }
        if units.unsigned_abs() >= power_of_ten(MAX_PRECISION)?.unsigned_abs() {
            return None;
        }
        let units = if negative { -units } else { units };
        Some(Numeric { units, scale: u8::try_from(fraction.len()).ok()? })
    }

    /// How many digits the number has at its scale, at least one.
    pub(crate) fn digits(self) -> u8 {
        let mut rest = self.units.unsigned_abs();
        let mut digits = 0;
        while rest > 0 {
            rest /= 10;
            digits += 1;
        }
        digits.max(self.scale).max(1)
    }

    pub(crate) fn add(self, other: Numeric) -> Result<Numeric> {
        let (left, right, scale) = self.align(other)?;
        Ok(Numeric { units: left.checked_add(right).ok_or_else(overflow)?, scale })
    }

    pub(crate) fn subtract(self, other: Numeric) -> Result<Numeric> {
        self.add(Numeric { units: -other.units, scale: other.scale })
    }

    pub(crate) fn multiply(self, other: Numeric) -> Result<Numeric> {
        let units = self.units.checked_mul(other.units).ok_or_else(overflow)?;
        Ok(Numeric { units, scale: self.scale + other.scale })
    }

    /// Divides to the given scale.
    pub(crate) fn divide(self, other: Numeric, scale: u8) -> Result<Numeric> {
        if other.units == 0 {
            return Err(divide_by_zero());
        }
        let shift = i32::from(scale) + i32::from(other.scale) - i32::from(self.scale);
        let ten = |n: i32| power_of_ten(u8::try_from(n).unwrap_or(u8::MAX)).ok_or_else(overflow);
        let units = if shift >= 0 {
            self.units.checked_mul(ten(shift)?).ok_or_else(overflow)? / other.units
        } else {
            self.units / other.units.checked_mul(ten(-shift)?).ok_or_else(overflow)?
        };
        Ok(Numeric { units, scale })
    }

    pub(crate) fn remainder(self, other: Numeric) -> Result<Numeric> {
        if other.units == 0 {
            return Err(divide_by_zero());
        }
        let (left, right, scale) = self.align(other)?;
        Ok(Numeric { units: left % right, scale })
    }

    fn align(self, other: Numeric) -> Result<(i128, i128, u8)> {
        let scale = self.scale.max(other.scale);
        let lift = |n: Numeric| {
            power_of_ten(scale - n.scale)
                .and_then(|factor| n.units.checked_mul(factor))
                .ok_or_else(overflow)
        };
        Ok((lift(self)?, lift(other)?, scale))
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Numeric) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Numeric) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Numeric {
    fn cmp(&self, other: &Numeric) -> Ordering {
        // Whole parts first: aligning the scales of two long numbers could overflow.
        let factor = |n: &Numeric| power_of_ten(n.scale).unwrap_or(i128::MAX);
        let whole = (self.units / factor(self)).cmp(&(other.units / factor(other)));
        whole.then_with(|| {
            let scale = self.scale.max(other.scale);
            let part =
                |n: &Numeric| (n.units % factor(n)) * power_of_ten(scale - n.scale).unwrap_or(1);
            part(self).cmp(&part(other))
        })
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let scale = usize::from(self.scale);
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if scale == 0 { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

/// Ten to the `n`, if it fits.
pub(crate) fn power_of_ten(n: u8) -> Option<i128> {
    10i128.checked_pow(u32::from(n))
}

fn div_round(value: i128, by: i128) -> i128 {
    let half = by / 2;
    if value >= 0 { (value + half) / by } else { (value - half) / by }
}

fn overflow() -> Error {
    super::error::overflow_converting("numeric")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Numeric {
        Numeric::parse(text).expect("a decimal")
    }

    #[test]
    fn two_lsns_that_differ_in_the_last_digit_differ() {
        let left = n("37000000012300000000000001");
        let right = n("37000000012300000000000002");
        assert!(left < right);
        assert_ne!(left, right);
    }

    #[test]
    fn scales_do_not_matter_to_comparison() {
        assert_eq!(n("1.50"), n("1.5"));
        assert!(n("-1.51") < n("-1.5"));
        assert!(n("0.1") > n("-0.1"));
    }

    #[test]
    fn arithmetic_keeps_every_digit() {
        assert_eq!(n("1.25").add(n("2.5")).expect("fits").to_string(), "3.75");
        assert_eq!(n("1.25").multiply(n("-2.5")).expect("fits").to_string(), "-3.125");
        assert_eq!(n("1").divide(n("3"), 6).expect("fits").to_string(), "0.333333");
        assert_eq!(n("7.5").remainder(n("2")).expect("fits").to_string(), "1.5");
        assert_eq!(n("1").divide(n("0"), 6).expect_err("zero").number, 8134);
        let most = n("99999999999999999999999999999999999999");
        assert_eq!(most.multiply(most).expect_err("too long").number, 8115);
    }

    #[test]
    fn rescaling_rounds_half_away_from_zero_and_refuses_what_does_not_fit() {
        assert_eq!(n("1.25").rescale(3, 1).expect("fits").to_string(), "1.3");
        assert_eq!(n("-1.25").rescale(3, 1).expect("fits").to_string(), "-1.3");
        assert!(n("1000").rescale(3, 0).is_none());
    }
}
