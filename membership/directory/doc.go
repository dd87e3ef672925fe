// Package directory is the meta group: the Raft group of all nodes that
// replicates the node table, databases, settings, birth records and
// assignments to every node.
//
// Its nouns: the Table (an immutable copy of everything, on each node), the
// Command (the only thing that changes it), and the Directory (this node's
// replica of the meta group). Any node may submit a command: it is forwarded
// to the leader and has been applied here too when Apply returns. The leader
// alone gives birth to groups, fills groups that have too few replicas, and
// grows the meta group's own configuration.
//
// The state machine reads no clock and draws no random number: the proposer
// stamps. The package opens no connection: Raft's transport and the caller
// that reaches other nodes are passed in. It says who should hold a group,
// never who leads it.
package directory
