// Package placement decides who should hold a group: pure functions from a
// list of nodes and what they hold already to a choice, or to a list of
// changed assignments. Equal inputs give equal outputs on every machine.
//
// Its nouns: a Node that may be given replicas, its Load, the Picker that
// ranks nodes for a group (rendezvous hashing for few nodes, a ring with
// virtual nodes for many), and a plan: assignments to commit.
//
// It changes nothing: the leader of the meta group commits what it says
// (package membership/directory), and each group's leader carries it out.
package placement
