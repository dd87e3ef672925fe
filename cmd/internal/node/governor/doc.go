// Package governor lets a node's background work on many bytes go behind its clients: deep checks and scrubs, leaves that are
// read for copies, and the building and proving of copies.
//
// Such work asks a Governor for a Turn and steps from one small piece to the next. While nobody has asked the node for
// anything just now, a Turn costs a look at a clock, and any number of them go on at once. While clients ask, one Turn goes
// on at a time, for a slice, and what comes next waits: so that all together take a share of one core. The share follows how late
// a wait ends: on a machine with cores to spare timers are punctual and the share grows; where work waits for a core they are
// late, and it falls. It never falls below Floor, so that what was begun ends.
//
// share.go decides, purely; governor.go acts. What counts as a client's request is the node's business (Foreground).
package governor
