//! Quantities with units: 5km, 40 °C, 3 GB, 10 mph, 12%, 5'11", and the table of units.

use super::context::{Context, Hit, Part};
use super::{numbers, plain};

/// How a unit may be written behind its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// "5 km" and "5km".
    Any,
    /// Only "5s": behind a space it is rather a word or an initial.
    Glued,
}

/// A unit: how it is written, its singular and its plural.
#[derive(Debug)]
pub(super) struct Unit {
    written: &'static str,
    one: &'static str,
    many: &'static str,
    gap: Gap,
}

/// A unit found in the text.
pub(super) struct Found {
    pub(super) entry: &'static Unit,
    /// End of the unit.
    pub(super) end: usize,
    /// Where the reading goes on: behind an abbreviation's stop.
    pub(super) stop: usize,
}

const fn any(written: &'static str, one: &'static str, many: &'static str) -> Unit {
    Unit { written, one, many, gap: Gap::Any }
}

const fn glued(written: &'static str, one: &'static str, many: &'static str) -> Unit {
    Unit { written, one, many, gap: Gap::Glued }
}

static UNITS: [Unit; 114] = [
    any("pp", "page", "pages"),
    any("%", "percent", "percent"),
    any("‰", "per mille", "per mille"),
    any("°C", "degree Celsius", "degrees Celsius"),
    any("°F", "degree Fahrenheit", "degrees Fahrenheit"),
    any("°", "degree", "degrees"),
    any("km/h", "kilometer per hour", "kilometers per hour"),
    any("kmh", "kilometer per hour", "kilometers per hour"),
    any("kph", "kilometer per hour", "kilometers per hour"),
    any("m/s²", "meter per second squared", "meters per second squared"),
    any("m/s", "meter per second", "meters per second"),
    any("km²", "square kilometer", "square kilometers"),
    any("km2", "square kilometer", "square kilometers"),
    any("m²", "square meter", "square meters"),
    any("m2", "square meter", "square meters"),
    any("cm²", "square centimeter", "square centimeters"),
    any("m³", "cubic meter", "cubic meters"),
    any("m3", "cubic meter", "cubic meters"),
    any("cm³", "cubic centimeter", "cubic centimeters"),
    any("km", "kilometer", "kilometers"),
    any("cm", "centimeter", "centimeters"),
    any("mm", "millimeter", "millimeters"),
    any("µm", "micrometer", "micrometers"),
    any("μm", "micrometer", "micrometers"),
    any("nm", "nanometer", "nanometers"),
    any("m", "meter", "meters"),
    any("mi", "mile", "miles"),
    any("mph", "mile per hour", "miles per hour"),
    any("mpg", "mile per gallon", "miles per gallon"),
    any("ft²", "square foot", "square feet"),
    any("sq ft", "square foot", "square feet"),
    any("sq. ft", "square foot", "square feet"),
    any("sq mi", "square mile", "square miles"),
    any("ft", "foot", "feet"),
    glued("in", "inch", "inches"),
    any("yd", "yard", "yards"),
    any("yds", "yard", "yards"),
    any("kg", "kilogram", "kilograms"),
    any("mg", "milligram", "milligrams"),
    any("mcg", "microgram", "micrograms"),
    any("µg", "microgram", "micrograms"),
    any("μg", "microgram", "micrograms"),
    any("g", "gram", "grams"),
    any("lb", "pound", "pounds"),
    any("lbs", "pound", "pounds"),
    any("oz", "ounce", "ounces"),
    any("fl oz", "fluid ounce", "fluid ounces"),
    any("kL", "kiloliter", "kiloliters"),
    any("L", "liter", "liters"),
    glued("l", "liter", "liters"),
    any("ml", "milliliter", "milliliters"),
    any("mL", "milliliter", "milliliters"),
    any("cl", "centiliter", "centiliters"),
    any("gal", "gallon", "gallons"),
    any("tbsp", "tablespoon", "tablespoons"),
    any("Tbsp", "tablespoon", "tablespoons"),
    any("tsp", "teaspoon", "teaspoons"),
    any("Hz", "hertz", "hertz"),
    any("kHz", "kilohertz", "kilohertz"),
    any("MHz", "megahertz", "megahertz"),
    any("GHz", "gigahertz", "gigahertz"),
    any("W", "watt", "watts"),
    any("kW", "kilowatt", "kilowatts"),
    any("MW", "megawatt", "megawatts"),
    any("GW", "gigawatt", "gigawatts"),
    any("Wh", "watt hour", "watt hours"),
    any("kWh", "kilowatt hour", "kilowatt hours"),
    any("MWh", "megawatt hour", "megawatt hours"),
    any("V", "volt", "volts"),
    any("mV", "millivolt", "millivolts"),
    any("kV", "kilovolt", "kilovolts"),
    any("mA", "milliamp", "milliamps"),
    any("mAh", "milliamp hour", "milliamp hours"),
    any("Ω", "ohm", "ohms"),
    any("kΩ", "kiloohm", "kiloohms"),
    any("kB", "kilobyte", "kilobytes"),
    any("KB", "kilobyte", "kilobytes"),
    any("MB", "megabyte", "megabytes"),
    any("GB", "gigabyte", "gigabytes"),
    any("TB", "terabyte", "terabytes"),
    any("PB", "petabyte", "petabytes"),
    any("KiB", "kibibyte", "kibibytes"),
    any("MiB", "mebibyte", "mebibytes"),
    any("GiB", "gibibyte", "gibibytes"),
    any("MB/s", "megabyte per second", "megabytes per second"),
    any("GB/s", "gigabyte per second", "gigabytes per second"),
    any("kbps", "kilobit per second", "kilobits per second"),
    any("Mbps", "megabit per second", "megabits per second"),
    any("Gbps", "gigabit per second", "gigabits per second"),
    any("ns", "nanosecond", "nanoseconds"),
    any("µs", "microsecond", "microseconds"),
    any("μs", "microsecond", "microseconds"),
    any("ms", "millisecond", "milliseconds"),
    glued("s", "second", "seconds"),
    any("sec", "second", "seconds"),
    any("secs", "second", "seconds"),
    any("min", "minute", "minutes"),
    any("mins", "minute", "minutes"),
    any("h", "hour", "hours"),
    any("hr", "hour", "hours"),
    any("hrs", "hour", "hours"),
    any("yr", "year", "years"),
    any("yrs", "year", "years"),
    any("dB", "decibel", "decibels"),
    any("hPa", "hectopascal", "hectopascals"),
    any("kPa", "kilopascal", "kilopascals"),
    any("kJ", "kilojoule", "kilojoules"),
    any("cal", "calorie", "calories"),
    any("kcal", "kilocalorie", "kilocalories"),
    any("px", "pixel", "pixels"),
    any("rpm", "revolution per minute", "revolutions per minute"),
    any("ppm", "part per million", "parts per million"),
    any("fps", "frame per second", "frames per second"),
    any("bps", "basis point", "basis points"),
];

/// Things that a price or a rate can be "per", as they are written behind a slash.
const PER: [(&str, &str); 31] = [
    ("month", "month"),
    ("mo", "month"),
    ("year", "year"),
    ("yr", "year"),
    ("annum", "annum"),
    ("day", "day"),
    ("d", "day"),
    ("week", "week"),
    ("wk", "week"),
    ("hour", "hour"),
    ("hr", "hour"),
    ("h", "hour"),
    ("minute", "minute"),
    ("min", "minute"),
    ("second", "second"),
    ("sec", "second"),
    ("s", "second"),
    ("night", "night"),
    ("person", "person"),
    ("user", "user"),
    ("seat", "seat"),
    ("kg", "kilogram"),
    ("g", "gram"),
    ("lb", "pound"),
    ("oz", "ounce"),
    ("mile", "mile"),
    ("mi", "mile"),
    ("km", "kilometer"),
    ("gallon", "gallon"),
    ("gal", "gallon"),
    ("bbl", "barrel"),
];

/// The unit written at `pos`: the longest entry that ends there.
pub(super) fn unit_at(context: &Context, pos: usize, is_glued: bool) -> Option<Found> {
    let first = context.byte(pos)?;
    // "10 in. tall" are inches, "10 in all" are not.
    let is_glued = is_glued || (context.is(pos, "in.") && stop_goes(context, pos + 2));
    let fits = |unit: &&Unit| {
        unit.written.as_bytes()[0] == first
            && (is_glued || unit.gap == Gap::Any)
            && context.is(pos, unit.written)
            && (context.ends(pos + unit.written.len()) || matches!(unit.written, "%" | "°"))
    };
    let entry = UNITS.iter().filter(fits).max_by_key(|unit| unit.written.len())?;
    let end = pos + entry.written.len();
    if context.is(end, "'") && context.char(end + 1).is_some_and(char::is_alphabetic) {
        return None; // "90s's" and "I'm"
    }
    let abbreviated = entry.written.ends_with(|c: char| c.is_ascii_lowercase());
    let stop = if abbreviated && stop_goes(context, end) { end + 1 } else { end };
    Some(Found { entry, end, stop })
}

/// The stop at `dot` belongs to an abbreviation: the sentence goes on behind it.
fn stop_goes(context: &Context, dot: usize) -> bool {
    let goes_on = |c: char| c.is_lowercase() || c.is_ascii_digit();
    context.is(dot, ".")
        && match context.char(dot + 1) {
            Some(' ') => context.char(dot + 2).is_some_and(goes_on),
            next => matches!(next, Some(',' | ';' | ':' | ')')),
        }
}

/// The unit's name, with "metre" and "litre" where Britain writes them.
pub(super) fn name(unit: &Unit, singular: bool, british: bool) -> String {
    let name = if singular { unit.one } else { unit.many };
    let metric = british && !name.contains("parameter");
    if metric { name.replace("meter", "metre").replace("liter", "litre") } else { name.to_owned() }
}

/// A number with a unit, or with several: "5km", "-3.5 °C", "2 kg/day", "10-km run".
pub(super) fn quantity(context: &Context, pos: usize) -> Option<Hit> {
    let (sign, skip) = plain::sign(context, pos).map_or(("", 0), |(word, len)| (word, len));
    let number = context.number(pos + skip)?;
    let gap = context.char(number.end).filter(|c| matches!(c, ' ' | '-'));
    let at = number.end + gap.map_or(0, char::len_utf8);
    let unit = unit_at(context, at, gap != Some(' '))?;
    // "5-in" is a typo of nothing; "2-m" could be anything; "3-in-1" is no length, "5m people" neither.
    let counted = gap.is_none() && unit.entry.written == "m" && plain::counts(context, unit.end);
    let one_of = unit.entry.written == "in" && gap == Some('-') && context.is(unit.end, "-");
    if counted || one_of || (gap == Some('-') && unit.entry.written.len() < 2) {
        return None;
    }
    let single = number.is_one() || gap == Some('-') || context.after_article(pos);
    let mut words = numbers::number(&number, context.british);
    if !sign.is_empty() {
        words = format!("{sign} {words}");
    }
    let mut name = name(unit.entry, single, context.british);
    let (end, stop) = match per(context, unit.end) {
        Some((per, end)) => {
            name = format!("{name} {per}");
            (end, end)
        }
        // "the 10-yr. Treasury"
        None if gap == Some('-') && context.is(unit.end, ". ") => (unit.end, unit.end + 1),
        None => (unit.end, unit.stop),
    };
    if gap == Some(' ') {
        let parts = vec![Part::new(pos..number.end, words), Part::new(at..end, name)];
        return Some(Hit::of(parts, stop));
    }
    let mut hit = Hit::one(pos..end, format!("{words} {name}"));
    hit.end = stop;
    Some(hit)
}

/// "/month" at `pos`: "per month" and its end.
pub(super) fn per(context: &Context, pos: usize) -> Option<(String, usize)> {
    let at = if context.is(pos, " / ") { pos + 3 } else { pos + 1 };
    if !context.is(pos, "/") && at == pos + 1 {
        return None;
    }
    let word = context.letters(at);
    let (_, spoken) = PER.iter().find(|(written, _)| *written == word)?;
    let spoken = if context.british { spoken.replace("meter", "metre") } else { (*spoken).to_owned() };
    Some((format!("per {spoken}"), at + word.len()))
}

/// 5'11" is five foot eleven, 6' 2" six foot two.
pub(super) fn feet_and_inches(context: &Context, pos: usize) -> Option<Hit> {
    let feet = context.digits(pos);
    let mut at = pos + feet.len();
    if feet.len() > 2 || !context.is(at, "'") {
        return None;
    }
    if let Some(hit) = feet_only(context, pos, at) {
        return Some(hit);
    }
    at = context.skip_space(at + 1);
    let inches = context.digits(at);
    let end = at + inches.len();
    let quote = if context.is(end, "''") { 2 } else { usize::from(context.is(end, "\"")) };
    (!inches.is_empty() && inches.len() <= 2 && quote > 0).then(|| {
        let words = format!("{} foot {}", numbers::whole(feet, false), numbers::whole(inches, false));
        Hit::one(pos..end + quote, words)
    })
}

/// What a length is followed by.
const MEASURED: [&str; 9] = ["tall", "long", "wide", "high", "deep", "thick", "above", "below", "away"];

/// "10' x 12'" and "5' tall": feet, where what stands behind shows that the mark at `mark` closes no quotation.
fn feet_only(context: &Context, pos: usize, mark: usize) -> Option<Hit> {
    let feet = |digits: &str| {
        format!("{} {}", numbers::whole(digits, false), if digits == "1" { "foot" } else { "feet" })
    };
    let mut words = feet(&context.text[pos..mark]);
    let mut end = mark + 1;
    for _ in 0..2 {
        let joint = [" x ", "x", " × ", "×", " by "].into_iter().find(|joint| context.is(end, joint));
        let Some(at) = joint.map(|joint| end + joint.len()) else { break };
        let digits = context.digits(at);
        if digits.is_empty() || digits.len() > 3 || !context.is(at + digits.len(), "'") {
            break;
        }
        words = format!("{words} by {}", feet(digits));
        end = at + digits.len() + 1;
    }
    let alone = pos == 0 && end == context.text.len();
    // "a 12' boat"
    if context.after_article(pos) && !context.next_word(end).is_empty() {
        return Some(Hit::one(pos..end, words.replace("feet", "foot")));
    }
    let measured = end > mark + 1 || alone || MEASURED.contains(&context.next_word(end));
    (measured && context.ends(end)).then(|| Hit::one(pos..end, words))
}
