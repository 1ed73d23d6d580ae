//! Values with a unit, as people write them in the file: durations, sizes, percentages.
//!
//! Each accepts a number (seconds, bytes, percent) or a string with a unit, and shows itself in the
//! shortest form that reads back to the same value.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A duration: `250ms`, `30s`, `1h 30m`, or bare seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dur(pub Duration);

impl Dur {
    /// `n` whole seconds.
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// The duration itself.
    pub const fn get(self) -> Duration {
        self.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(seconds) = text.trim().parse::<f64>() {
            return Self::from_seconds(seconds);
        }
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|e| format!("`{text}` is not a duration ({e}); write `30s`, `5m` or `1h 30m`"))
    }

    fn from_seconds(seconds: f64) -> Result<Self, String> {
        Duration::try_from_secs_f64(seconds)
            .map(Self)
            .map_err(|_| format!("`{seconds}` is not a duration; it must be zero or more seconds"))
    }
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = humantime::format_duration(self.0).to_string();
        f.write_str(&text.replace(' ', ""))
    }
}

/// A number of bytes: `32MiB`, `64kB`, or bare bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// Suffixes from the largest down, with the bytes each stands for.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Size {
    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size; write `32MiB`, `64KiB` or a number of bytes");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let factor = match unit.trim() {
            "" => 1,
            unit => SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?.1,
        };
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS.iter().find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes));
        let (unit, bytes) = exact.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

/// A share in percent, 0 to 100: `20%`, or the bare number.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

impl Percent {
    /// The share as a fraction, 0.0 to 1.0.
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        let number = text.trim().trim_end_matches('%').trim().parse().ok();
        number.map_or_else(|| Err(format!("`{text}` is not a percentage; write `20%`")), Self::checked)
    }

    fn checked(value: f64) -> Result<Self, String> {
        let inside = (0.0..=100.0).contains(&value);
        inside.then_some(Self(value)).ok_or_else(|| format!("`{value}%` is outside 0% to 100%"))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Gives a unit type its serde and schema faces: a string with a unit, or a bare number.
macro_rules! unit {
    ($type:ident, $what:literal, $format:literal, $pattern:literal, $number:expr, $schema_number:literal, $examples:tt) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Unit;
                impl Visitor<'_> for Unit {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        $type::parse(text).map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        $number(number as f64).map_err(E::custom)
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        $number(number as f64).map_err(E::custom)
                    }
                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$type, E> {
                        $number(number).map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Unit)
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::parse(text)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": $what,
                    "type": ["string", $schema_number],
                    "format": $format,
                    "pattern": $pattern,
                    "minimum": 0,
                    "examples": $examples
                })
            }
        }
    };
}

unit!(
    Dur,
    "A duration with its unit (`250ms`, `30s`, `5m`, `1h 30m`), or bare seconds.",
    "qcc-duration",
    r"^\s*([0-9]+(\.[0-9]+)?|([0-9]+\s*(nsec|ns|usec|us|msec|ms|seconds|second|secs|sec|s|minutes|minute|mins|min|m|hours|hour|hrs|hr|h|days|day|d|weeks|week|w)\s*)+)\s*$",
    Dur::from_seconds,
    "number",
    ["30s", "5m", "1h 30m"]
);
unit!(
    Size,
    "A number of bytes with its unit (`64KiB`, `32MiB`, `1GiB`, `5MB`), or bare bytes.",
    "qcc-size",
    r"^\s*[0-9]+\s*([kKmMgG][iI]?[bB]|[bB])?\s*$",
    |number: f64| Size::parse(&format!("{number}")),
    "integer",
    ["64KiB", "32MiB"]
);
unit!(
    Percent,
    "A share in percent, `0%` to `100%`, or the bare number.",
    "qcc-percent",
    r"^\s*[0-9]+(\.[0-9]+)?\s*%?\s*$",
    Percent::checked,
    "number",
    ["20%"]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_units_or_bare_seconds() {
        for (text, millis) in
            [("5m", 300_000), ("250ms", 250), ("1h 30m", 5_400_000), ("285s", 285_000), ("300", 300_000), ("0.5", 500)]
        {
            assert_eq!(text.parse::<Dur>(), Ok(Dur(Duration::from_millis(millis))), "{text}");
        }
        assert_eq!(serde_json::from_str::<Dur>("300").ok(), Some(Dur::secs(300)));
        for wrong in ["", "5 parsecs", "-1s", "-3"] {
            assert!(wrong.parse::<Dur>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_and_percentages_read_back_what_they_show() {
        for size in [Size(0), Size(1), Size::mib(32), Size(1500), Size(5_000_000), Size(1 << 40)] {
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert_eq!("64kib".parse(), Ok(Size(65_536)));
        assert!("64 bananas".parse::<Size>().is_err());
        assert_eq!("20%".parse(), Ok(Percent(20.0)));
        assert!("120%".parse::<Percent>().is_err());
        assert_eq!(Dur::secs(300).to_string(), "5m");
    }
}
