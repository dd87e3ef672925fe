// Package bench measures a cluster from outside, as its clients would use it.
//
// Nouns: a Conn is one connection to one node; a caller is one independent client with one request in flight, and
// shares its connection with others but never a request: nothing is merged on this side. A Plan says how many of
// each, and what they send; a Result is what came of it. The data are simulated devices whose three readings walk at
// random in steps of two decimals, ten seconds apart.
//
// The package starts no nodes, reads no counters of theirs (a Counter passed in does), and judges nothing.
package bench
