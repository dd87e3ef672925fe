// Package failover replaces a dead leader without waiting for election timers.
//
// When the stream to a peer breaks and a redial is refused, or the peer stays
// silent, every survivor tells the others in one message what it knows of the
// groups which that peer led: a Standing a group. A node that holds the
// standings of a quorum of a group's voters, its own included, computes Order,
// a pure function of them; all nodes with the same standings get the same
// order. Only the first in the order campaigns; the next one does so when there
// is still no leader a while later.
//
// Safety rests on Raft alone: two nodes that hold the standings of different
// quorums may choose differently, which costs an election and nothing else.
// The package never touches a group itself: it asks the Groups that it was
// given, which do the final check under their own lock.
package failover
