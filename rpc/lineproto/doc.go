// Package lineproto turns text into points: InfluxDB line protocol, CSV with
// a header, and NDJSON; it also holds the one spelling of a JSON point that
// HTTP bodies and NDJSON share.
//
// A Reader streams: each Read gives one point with the number of the line on
// which it begins, or a *LineError for a line that is refused (the next Read
// goes on behind it), or the error that ended the input. Nothing is skipped
// silently, and what is held in memory is bounded by MaxLineBytes.
//
// The package knows the syntax and the identity rule of devices. Names and
// limits of points are checked by storage, databases by the gateway.
package lineproto
