// Package mailinglist reads mailing lists, as tools export them, into the events that consentd records.
//
// Three formats are known: the exports of Mailchimp audiences (subscribed, unsubscribed and cleaned, one or several, or the ZIP of
// them), CSV whose columns the caller maps, and NDJSON with one event a line. [Open] checks every file before the first row is given:
// a file that can't be read, a missing column or a ZIP without lists is its error. [Reader.Next] then gives row after row, in memory
// that doesn't grow with the list but by eight bytes of hash a subject, which is how repeated subjects are found. A row that can't be
// used carries the reason in [Row.Err], and stops nothing.
//
// Nothing is guessed in favour of contacting somebody. A grant without a time is no grant, and never one of now. A grant that nobody
// can prove is given without evidence, so that it is decided UNPROVEN. A "no" whose time of day is unknown happens at the day's end,
// a "yes" at its start. IP addresses are read to judge an opt-in, and never passed on.
//
// [Writer] writes a list back with further columns, and [Gather] brings together what the rows of a list say of one subject.
package mailinglist
