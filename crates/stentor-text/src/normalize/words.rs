//! Word lists that more than one rule needs.

/// Capitalised words that start a sentence rather than go on after an abbreviation.
pub(super) const STARTERS: [&str; 78] = [
    "A", "About", "According", "After", "All", "Also", "Although", "An", "And", "Another", "Any", "As", "At", "Before",
    "Both", "But", "By", "Can", "Despite", "Did", "Do", "Does", "During", "Each", "Even", "Every", "Few", "Finally",
    "First", "For", "From", "He", "Her", "Here", "His", "How", "However", "I", "If", "In", "It", "Its", "Later", "Many",
    "Meanwhile", "Most", "My", "No", "Not", "Now", "On", "One", "Our", "She", "Since", "So", "Some", "Soon", "Still",
    "That", "The", "Their", "Then", "There", "These", "They", "This", "Those", "Though", "To", "Today", "We", "What",
    "When", "Where", "Why", "Yes", "You",
];

/// Months in full, from January.
pub(super) const MONTHS: [&str; 12] = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
];

pub(super) const MONTHS_SHORT: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Words after which a bare four-digit number is a year.
pub(super) const BEFORE_YEARS: [&str; 33] = [
    "in", "since", "by", "until", "till", "from", "during", "before", "after", "around", "circa", "year", "early",
    "late", "mid", "spring", "summer", "autumn", "fall", "winter", "of", "and", "to", "between", "election", "january",
    "march", "june", "july", "october", "december", "copyright", "est",
];
