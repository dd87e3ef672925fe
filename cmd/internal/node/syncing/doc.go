// Package syncing runs a node's resyncs: it is both ends of package walgap/resync on one node, and its caller.
//
// Nouns:
//   - a job is the resync of one group's replica on this node: asked for, begun by the watch, a repair, or a move. It
//     begins with its row, asks its leader for a verdict, waits for a slot if it is going to copy, and is driven by the
//     engine of package resync from then on. It outlives its process: a row that is left open is taken up by the next
//     one under its id.
//   - the table keeps the jobs, one a group, and when the next one of a group may begin by itself.
//   - the driver takes each job to its end; the slots bound how many copy at once, the most urgent first.
//   - the watch finds replicas that the log cannot bring up to date; a nudge tells the node of such a replica to look.
//   - the asker asks leaders for verdicts; leading answers them for the groups that are led here, and says what a job
//     needs of a leader; views give leaves to those who copy from here.
//   - the mover takes a replica over from another node: the assignment first, then the copy, then the old one goes.
//
// Who changes what. Only the table begins and forgets jobs, and only the driver ends their rows. A replica's data is
// changed by the engine alone, through the hold that replica.go takes. Assignments are changed by the mover alone.
//
// What the package does not do. It judges no gap (walgap does), follows no procedure (walgap/resync does), moves no
// leaves (snapshot/transfer does), and changes no configuration of Raft (raftgroup/reconcile does). It knows its node by
// Config alone.
package syncing
