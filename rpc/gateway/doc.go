// Package gateway carries out the operations that any node offers for the
// whole cluster: writes, deletes, queries, databases, the admin tables, jobs
// (verify, trim, step-down; a resync or a move is handed to the node that lacks
// the data, which runs it).
//
// Nouns: a part is what one write brings to one group, encoded once as
// command frames; a destination is the node that is asked to propose a part;
// a hint is who is believed to lead a group. A write is validated whole,
// stamped, split into parts, and each destination gets one request with all
// its parts. What was certainly not applied is retried inside the node until
// the deadline; what is unknown is answered as unknown at once. A read that
// cannot reach a group fails: there is no silent empty and no silent partial.
//
// The gateway holds no data and decides nothing about placement: it reads the
// directory's table, asks groups of this node through Host and groups of
// others through Peers. It never redirects a client. Every error it returns
// is an *api.Error.
package gateway
