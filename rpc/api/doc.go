// Package api holds the shapes that users see: the objects of the HTTP body
// and of `-o json` (Group, Node, Job, VerifyResult and their lists), the
// problem document with its documented codes, and the one spelling of times.
//
// The same struct feeds the command line, HTTP and gRPC. Every field is always
// there: null where it does not apply, counters 0, arrays []. The package
// holds no state, does no I/O and imports nothing else of Flotilla.
package api
