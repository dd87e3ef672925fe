// Package fakecluster is a cluster without Raft for the tests of the packages
// under rpc: real gateways, real shards and real gRPC servers over in-memory
// connections, around groups whose log is a mutex. A test decides who leads,
// which calls fail and how, and which node is down.
//
// A Cluster owns its Nodes; Close ends them all. It is not for use outside
// tests.
package fakecluster
