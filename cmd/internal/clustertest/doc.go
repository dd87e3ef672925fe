// Package clustertest runs whole clusters inside one process, in virtual time,
// and checks what they did.
//
// A Cluster is a set of complete nodes (the composition root of the product,
// not a model of it) that are connected by a Network in memory, which can cut,
// delay and heal links. A History records what clients saw; Check decides
// whether one order of events explains it. The package is for tests only.
package clustertest
