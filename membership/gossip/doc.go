// Package gossip finds the nodes of a cluster and gives hints about which of
// them answer. It wraps hashicorp/memberlist.
//
// Its nouns: a Member (what gossip knows of one node.incarnation), the Meta
// that each node spreads about itself, and the promise of --bootstrap-expect,
// by which fresh nodes agree on who makes the cluster.
//
// It never removes a voter, moves a group or decides what is true: the meta
// group does (package membership/directory). A member that is down here may
// be alive.
package gossip
