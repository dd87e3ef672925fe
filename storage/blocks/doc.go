// Package blocks is the columnar form of the points of one series, and its codec.
//
// Nouns:
//   - Value: one typed field value, comparable, lossless (a float64 is its bits).
//   - Columns: points of one series as strictly ascending times and one dense column per (field name, kind).
//   - Builder: rows in order of arrival, made into Columns on demand; what a head keeps per series.
//   - block: the encoded bytes of at most MaxRows rows (format.go draws them). The encoding is canonical: equal
//     points give equal bytes, whatever way they were appended, merged, split or decoded before. Leaf digests rest on
//     that, so a change of any choice the encoder makes is a new FormatVersion.
//
// Columns and Builder belong to their caller: nothing here locks, starts goroutines, or does I/O. Encode, Decode and
// Merge are pure and may run concurrently on different arguments. The package knows nothing of windows, series keys,
// tombstones or which layer is newer than which: storage decides that and calls Merge in its order.
package blocks
