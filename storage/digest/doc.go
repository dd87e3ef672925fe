// Package digest says when two shards hold the same points: digests of leaves, and the root over them.
//
// Nouns:
//   - Leaf: (window, slot), the unit of hashing, comparing, copying and repairing.
//   - leaf bytes: the canonical bytes of a leaf (format.go draws them): its series in key order, each with its canonical
//     blocks in time order. Every part is typed and length-prefixed, so no two different leaves have the same bytes.
//   - ID: the content id, SHA-256 of the leaf bytes.
//   - Entry, manifest: the leaves of a shard at a cut with their content ids, points and bytes; Root hashes them.
//
// Nothing node-local goes in: equal points give equal digests on every replica. The package stores nothing, reads
// nothing and does not decide which digest is right.
package digest
