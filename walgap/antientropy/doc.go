// Package antientropy keeps proving that the replicas of a group are equal, says which one is wrong where they are not,
// and sees to it that only what is wrong is repaired.
//
// Nouns:
//   - a check compares all assigned replicas of one group at one place (lineage and index): the roots first, then the
//     leaves of those that differ. Engine carries it out; it reaches the replicas through Cluster.
//   - a testimony is what one replica says at a place. One that is not there, stands elsewhere, or does not answer is
//     missing: it is equal to nobody.
//   - the judge (Judge, pure) gives a ruling for each leaf in question. The accused reads its disk again before it
//     is blamed; what cannot be read is no opinion.
//   - a suspicion is the mark of a replica that was blamed (or of all, where no majority can say who is wrong:
//     disputed). Only a check at a later cut that finds the replica equal lifts it.
//   - a finding is one line of the report.
//
// Who changes what. A check pins views by its cut, and has ended them when it returns, whatever happened. Accuse, Repair
// and Acquit are all that it does to a replica, and only to one that the judge blamed. The bytes are moved by package
// resync, behind Cluster.Repair.
//
// The rest is pure: Schedule says which groups are due when, ScrubPlan how fast which part is read again, Assess what
// an operator is told about it. The package keeps nothing on a disk, knows neither Raft nor the wire, and emits no
// events: its caller does.
package antientropy
