//go:build flotilla_nosync

package raftlog

// withoutSync acknowledges what only memory holds. A binary with it is the control of the power-cut test: that test
// is worth something only if this binary fails it.
const withoutSync = true
