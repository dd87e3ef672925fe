// Package walgap says what separates a replica from its leader, and what the cheapest safe way to close it is.
//
// Nouns: a Leader and a Target report what their logs and their shards hold; a Position is an index and the term of
// its entry; the gap is what lies between the two; a Verdict is one of none, replay (the log does it), delta (the
// leaves that differ are copied) and full (all of them), with its price. Rates are what this node measured.
//
// Judge is a pure function: the same reports give the same verdict, on whichever node it is asked. It reads no clock,
// no disk and no peer, and nothing changes by it: package resync carries verdicts out.
//
// Rules that it rests on. Two logs of one lineage that hold the same (index, term) are equal up to there. What data
// contains is said by the applied index, never by a commit index. Indices of two lineages are never compared. A leader
// that has committed nothing in its own term does not know what is committed, so nothing is decided from its log.
package walgap
