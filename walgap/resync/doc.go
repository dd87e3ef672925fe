// Package resync carries a verdict of package walgap out: it brings one replica to equality with its group's leader,
// proves that it is equal, and only then lets it count.
//
// Nouns:
//   - a job is (group, target, epoch). The target's node drives it (Engine); the group's leader answers small calls
//     (Responder); sources answer leaf fetches (Fetcher).
//   - a stage is one step of a job, a file each: plan, hold, cut, explore, fetch, install, replay, promote, and ending,
//     which gives back whatever the job took. Stages and Transitions (table.go) are the one list of them that the code
//     follows and that tests are generated from.
//   - an attempt ends with a failure that another attempt may cure. A restart goes back to plan because the world
//     changed (leader, lineage, epoch); it keeps the leaves that were fetched and costs no attempt, unless many follow
//     each other without progress.
//   - the session is what a job agreed with a leader: who it is, its term and its lineage. An answer of anybody else
//     is a change of leader.
//   - staging is a folder beside the target's shard: the job's state (job.json) and what it gathered (shard.db).
//   - a row is what the job shows of itself.
//
// Who changes what. Only Held.Install changes the replica's data, and only with a proof that was equal at both ends.
// Only the leader changes the log: the job's leases and its cut go through it, and have ended (or their time has
// passed) before the job's status is final. A job that ends in any other way than done before it has installed leaves
// the target's old state as it was, and running; after that the target has the proven copy (Report.Installed). A replica
// that cannot be released stays held, a voter still, until its process starts again.
//
// What the package does not do. It moves no leaves by itself (snapshot/transfer does), changes no configuration of Raft
// (the leader's reconcile does), keeps no job rows, picks no targets, and limits no number of jobs: its caller does.
// It never removes a voter in order to copy it, and never pushes.
//
// Clocks: ttls and bounds run on the monotonic clock of whoever keeps them; wall times are only shown.
package resync
